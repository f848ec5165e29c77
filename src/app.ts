/**
 * The application: its options and its parts, in the order in which they start. They end in the opposite order.
 */
import { readFileSync } from 'node:fs'
import AjvCompiler, { type BuildCompilerFromPool } from '@fastify/ajv-compiler'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifySchemaCompiler } from 'fastify'
import { pino } from 'pino'
import { audit } from '../routes/audit.ts'
import { groupConsumers } from '../routes/consumers.ts'
import { deadLetters } from '../routes/dead-letters.ts'
import { entries } from '../routes/entries.ts'
import { events } from '../routes/events.ts'
import { groups } from '../routes/groups.ts'
import { health } from '../routes/health.ts'
import { lag } from '../routes/lag.ts'
import { metrics as metricsRoute } from '../routes/metrics.ts'
import { openapiDocument } from '../routes/openapi.ts'
import { pending } from '../routes/pending.ts'
import { problemKinds } from '../routes/problems.ts'
import { rebuilds } from '../routes/rebuilds.ts'
import { replays } from '../routes/replays.ts'
import { streams as adminStreams } from '../routes/streams.ts'
import { tail } from '../routes/tail.ts'
import { types } from '../routes/types.ts'
import { webhooks } from '../routes/webhooks.ts'
import { createAdmission } from './admission.ts'
import { type Config, loadConfig } from './config.ts'
import { errorFields } from './error-fields.ts'
import { createCatalog } from './ingest/catalog.ts'
import { traceContextFrom } from './ingest/trace-context.ts'
import { createLinePublisher } from './line-publishing.ts'
import { createRequestTally } from './metrics/request-tally.ts'
import { adminListener } from './plugins/admin-listener.ts'
import { adminRequests } from './plugins/audit.ts'
import { consumers } from './plugins/consumers.ts'
import { docs } from './plugins/docs.ts'
import { drain } from './plugins/drain.ts'
import { keys } from './plugins/keys.ts'
import { metrics, requestTally } from './plugins/metrics.ts'
import { openapi } from './plugins/openapi.ts'
import { operations } from './plugins/operations.ts'
import { overload } from './plugins/overload.ts'
import { answerClientError, answerFrameworkError, problemAnswers } from './plugins/problems.ts'
import { addressLimit } from './plugins/rate-limits.ts'
import { redis } from './plugins/redis.ts'
import { requestId, requestIdOf } from './plugins/request-id.ts'
import { requestLog } from './plugins/request-log.ts'
import { requestSpans } from './plugins/request-spans.ts'
import { streams } from './plugins/streams.ts'
import { openSources } from './sources.ts'
import { createKeys } from './streams/keys.ts'
import { keepTickObject } from './tick-object.ts'
import type { Topology } from './topology.ts'
import { openTracer } from './traces/tracer.ts'

export interface Parts {
  topology: Topology
  /** Where to log; JSON on standard output unless given. */
  log?: FastifyBaseLogger
  /** Connect to nothing: the routes are there to be described, not to be called. */
  offline?: boolean
}

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }

/** Builds the whole application. `app.ready()` connects, `app.close()` ends requests first and connections last. */
export function buildApp(
  config: Config,
  { topology, log = pino({ level: config.LOG_LEVEL }), offline = false }: Parts
): FastifyInstance {
  keepTickObject()
  const catalog = createCatalog(topology)
  const redisKeys = createKeys(config.KEY_PREFIX)
  // Webhooks are not described in OpenAPI, and what their senders need is not known offline.
  const sources = offline
    ? new Map()
    : openSources({ topology, settings: config.webhookSettings, publicUrl: config.PUBLIC_URL })
  const app = fastifyFrom(config)
  // Fastify's own logging of requests would cost a tenth of every request even when it is silent, so it has no logger,
  // `request.log` says nothing, and a failure is logged where it is answered.
  app.log = log.child({}, { serializers: { err: errorFields } })
  const tally = createRequestTally(topology.sources.keys())
  const tracer = offline ? undefined : openTracer()

  // Each part says itself which bodies it reads; nothing else is read at all.
  app.removeAllContentTypeParsers()
  app.register(drain, { delayMs: config.DRAIN_DELAY_MS, graceMs: config.SHUTDOWN_GRACE_MS })
  app.register(requestLog, { requests: config.LOG_REQUESTS })
  if (tracer !== undefined) app.register(requestSpans, { tracer })
  app.register(requestId)
  app.register(requestTally, { tally })
  app.register(problemAnswers)
  app.register(adminListener, {
    host: config.ADMIN_HOST ?? config.HOST,
    port: config.ADMIN_PORT,
    requestTimeoutMs: config.REQUEST_TIMEOUT_MS
  })
  app.register(overload)
  app.register(addressLimit, { perSecond: config.RATE_LIMIT_PER_ADDRESS })
  app.register(openapi, { topology, version })
  // Before the keys, which would refuse its routes: Swagger UI does not say that they are public.
  app.register(docs)
  app.register(keys, { json: config.API_KEYS, file: config.API_KEYS_FILE })
  app.register(redis, { url: config.REDIS_URL, caFile: config.REDIS_TLS_CA_FILE, offline })
  app.register(streams, {
    topology,
    keys: redisKeys,
    durability: config.DURABILITY,
    queueLimit: config.APPEND_QUEUE_LIMIT,
    commandTimeoutMs: config.COMMAND_TIMEOUT_MS,
    tracer,
    offline
  })

  app.register(operations, { topology, keys: redisKeys, offline })

  if (config.CONSUMERS === 'on' && !offline) {
    app.register(consumers, { topology, keys: redisKeys, catalog, graceMs: config.SHUTDOWN_GRACE_MS, tracer })
  }

  app.register(metrics, { topology, version })
  app.register(events, {
    admission: createAdmission({
      catalog,
      maxEvents: config.MAX_BATCH_EVENTS,
      tally,
      traceOf: tracer === undefined ? traceContextFrom : undefined
    }),
    publishLines: createLinePublisher({
      topology,
      queueLimit: config.APPEND_QUEUE_LIMIT,
      maxLineBytes: config.BODY_LIMIT_BYTES
    }),
    idleMs: config.REQUEST_TIMEOUT_MS
  })
  app.register(webhooks, { sources })
  app.register(types, { catalog })
  app.register(lag)
  app.register(metricsRoute)
  app.register(operators)
  app.register(problemKinds)
  app.register(openapiDocument)
  app.register(health, { sources })
  return app
}

/** The routes of operators. What they change is audited. */
async function operators(app: FastifyInstance): Promise<void> {
  adminRequests(app)
  app.register(adminStreams)
  app.register(entries)
  app.register(groups)
  app.register(pending)
  app.register(groupConsumers)
  app.register(deadLetters)
  app.register(replays)
  app.register(rebuilds)
  app.register(tail)
  app.register(audit)
}

/** The OpenAPI description of a gateway with this topology. Connects to nothing. */
export async function openapiYaml(topology: Topology): Promise<string> {
  const env = { REDIS_URL: 'redis://nowhere', TOPOLOGY: 'given', LOG_LEVEL: 'silent', API_KEYS: unusableKeys }
  const app = buildApp(loadConfig(env), { topology, offline: true })
  await app.ready()
  const text = app.swagger({ yaml: true })
  await app.close()
  return text
}

// Keys that nobody can present: a hash of all zeros has no known source.
const unusableKeys = JSON.stringify([{ name: 'nobody', sha256: ['0'.repeat(64)], scopes: ['observe'] }])

function fastifyFrom(config: Config): FastifyInstance {
  return Fastify({
    genReqId: requestIdOf,
    bodyLimit: config.BODY_LIMIT_BYTES,
    requestTimeout: config.REQUEST_TIMEOUT_MS,
    http: {
      headersTimeout: Math.min(15_000, config.REQUEST_TIMEOUT_MS),
      // How often both times are looked at.
      connectionsCheckingInterval: Math.min(5_000, config.REQUEST_TIMEOUT_MS / 4)
    },
    // As much as Node takes of a URL: a name that is too long is refused by its schema, and only after the key was checked.
    routerOptions: { maxParamLength: 16_384 },
    trustProxy: trustFrom(config.TRUST_PROXY),
    // While draining, requests on open connections are still served, and told to close.
    return503OnClosing: false,
    clientErrorHandler: answerClientError,
    frameworkErrors: answerFrameworkError,
    schemaController: { compilersFactory: { buildValidator } }
  })
}

const buildAjv = AjvCompiler()

/** Parameters come as text and are converted; a body is taken or refused as it is. Neither is stripped. */
const buildValidator: BuildCompilerFromPool = (schemas) => {
  const strict = { allErrors: true, coerceTypes: false, useDefaults: false, removeAdditional: false } as const
  const bodies = buildAjv(schemas, { customOptions: strict }) as FastifySchemaCompiler<unknown>
  const others = buildAjv(schemas, {
    customOptions: { ...strict, coerceTypes: 'array', useDefaults: true }
  }) as typeof bodies
  const compile: typeof bodies = (route) => (route.httpPart === 'body' ? bodies(route) : others(route))
  return compile as ReturnType<BuildCompilerFromPool>
}

/** A number of hops, or addresses and networks. */
function trustFrom(setting: string): boolean | string | ((address: string, hop: number) => boolean) {
  if (setting === '') return false
  if (!/^\d+$/.test(setting)) return setting
  const hops = Number(setting)
  return (_address, hop) => hop < hops
}
