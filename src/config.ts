/**
 * Every setting of the process, from environment variables. Defaults exist here and nowhere else.
 */
import envSchema from 'env-schema'
import { type Static, Type } from 'typebox'
import { redisTarget } from './streams/redis-url.ts'

const positive = { type: 'integer', minimum: 1 } as const

export const Config = Type.Object(
  {
    HOST: Type.String({
      default: '127.0.0.1',
      minLength: 1,
      description: 'Address to listen on; 0.0.0.0 for every interface.'
    }),
    PORT: Type.Integer({
      default: 3000,
      minimum: 0,
      maximum: 65_535,
      description: 'Port to listen on; 0 takes a free one.'
    }),
    ADMIN_HOST: Type.Optional(Type.String({ minLength: 1, description: 'Address for ADMIN_PORT; HOST unless given.' })),
    ADMIN_PORT: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 65_535,
        description: 'Serve admin routes and metrics on this port alone; unset: on PORT with everything else.'
      })
    ),
    REDIS_URL: Type.String({
      minLength: 1,
      description:
        'Redis or Valkey: redis://host:6379, rediss://user:password@host:6380/0 or unix:///path/to.sock; redis+cluster://host:6379,host:6379; redis+sentinel://host:26379,host:26379/name; these two also as rediss+. Required.'
    }),
    REDIS_TLS_CA_FILE: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'PEM file of the certificate authority behind rediss, when the system does not know it.'
      })
    ),
    KEY_PREFIX: Type.String({
      default: '',
      pattern: '^[^{}]*$',
      description: 'In front of every key; holds no { or }.'
    }),
    TOPOLOGY: Type.String({
      minLength: 1,
      description: 'Module with the streams, event types and groups to carry. Required.'
    }),
    DURABILITY: Type.Unsafe<'auto' | 'memory' | 'fsync' | 'replicated'>({
      type: 'string',
      enum: ['auto', 'memory', 'fsync', 'replicated'],
      default: 'auto',
      description:
        'What a 2xx promises for streams that do not say it themselves. auto: the strongest that Redis is seen to keep by itself.'
    }),
    API_KEYS: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'API keys as JSON: [{ "name", "sha256": ["<hex>"], "scopes": ["publish:orders:*", "observe"], "ratePerSecond": 500 }]; the rate is optional and counts requests per process.'
      })
    ),
    API_KEYS_FILE: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'File with the same JSON, read again when it changes. One of the two is required.'
      })
    ),
    LOG_LEVEL: Type.Unsafe<'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent'>({
      type: 'string',
      enum: ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
      default: 'info',
      description: 'Least severe level that is logged.'
    }),
    LOG_REQUESTS: Type.Unsafe<'failures' | 'all'>({
      type: 'string',
      enum: ['failures', 'all'],
      default: 'failures',
      description: 'Requests that get a line in the log. failures: those that were refused or failed, floods summed up.'
    }),
    BODY_LIMIT_BYTES: Type.Integer({
      ...positive,
      default: 1_048_576,
      description: 'Largest request body, decoded; in NDJSON the longest line.'
    }),
    MAX_BATCH_EVENTS: Type.Integer({ ...positive, default: 1_000, description: 'Most events in one request.' }),
    APPEND_QUEUE_LIMIT: Type.Integer({
      ...positive,
      default: 40_000,
      description: 'Events that may wait for Redis in this process before requests are refused as overloaded.'
    }),
    RATE_LIMIT_PER_ADDRESS: Type.Integer({
      default: 10_000,
      minimum: 0,
      description: 'Requests per second that one process takes from one address, with or without a key; 0 = any number.'
    }),
    REQUEST_TIMEOUT_MS: Type.Integer({
      default: 60_000,
      minimum: 1_000,
      description: 'How long a request may take to arrive whole; in NDJSON the longest pause between two parts of it.'
    }),
    COMMAND_TIMEOUT_MS: Type.Integer({
      ...positive,
      default: 2_000,
      description: 'How long an append may wait for Redis before its request is answered 503.'
    }),
    DRAIN_DELAY_MS: Type.Integer({
      default: 0,
      minimum: 0,
      description:
        'How long after SIGTERM requests are still taken, while /readyz says 503 and connections are closed one by one: time for load balancers to notice.'
    }),
    SHUTDOWN_GRACE_MS: Type.Integer({
      ...positive,
      default: 25_000,
      description: 'How long requests and handlers may take to finish after SIGTERM.'
    }),
    CONSUMERS: Type.Unsafe<'on' | 'off'>({
      type: 'string',
      enum: ['on', 'off'],
      default: 'on',
      description: "off: this process takes events in and runs none of the topology's handlers."
    }),
    TRUST_PROXY: Type.String({
      default: '',
      description:
        'Proxies whose X-Forwarded-* headers are believed: addresses or networks, comma-separated, or a number of hops. Empty: none.'
    }),
    PUBLIC_URL: Type.Optional(
      Type.String({
        pattern: '^https?://[^/?#\\s]+(/[^?#\\s]*)?$',
        description:
          'Where the outside reaches this gateway, such as https://events.example.com; some webhook senders sign it.'
      })
    )
  },
  { additionalProperties: false }
)
export type Config = Readonly<Static<typeof Config>> & {
  /** WEBHOOK_SECRET_<SOURCE> and WEBHOOK_VERIFY_TOKEN_<SOURCE> as they were set: the topology knows which there are. */
  readonly webhookSettings: Readonly<Record<string, string>>
}

/** Settings that cannot be used: one line each, meant for the person who set them. */
export class ConfigError extends Error {
  readonly lines: string[]
  constructor(lines: string[]) {
    super(lines.join('\n'))
    this.name = 'ConfigError'
    this.lines = lines
  }
}

/**
 * The settings in `env`, checked, with defaults filled in and frozen. An empty variable counts as unset.
 * Throws ConfigError naming every setting that is missing or wrong.
 */
export function loadConfig(env: Record<string, string | undefined>): Config {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''))
  const lines: string[] = []
  let config: Config | undefined
  try {
    config = envSchema<Config>({ schema: structuredClone(Config), data: given, env: false })
  } catch (error) {
    const faults = (error as { errors?: SettingFault[] }).errors
    if (faults === undefined) throw error
    lines.push(...new Set(faults.map(lineOf)))
  }
  if (given.API_KEYS === undefined && given.API_KEYS_FILE === undefined) {
    lines.push('API_KEYS or API_KEYS_FILE is required: without a key nobody gets in (npm run keygen makes one)')
  }
  if (given.REDIS_URL !== undefined) lines.push(...redisUrlFault(given.REDIS_URL))
  if (config === undefined || lines.length > 0) throw new ConfigError(lines)
  const isWebhookSetting = ([name]: [string, unknown]) => /^WEBHOOK_(SECRET|VERIFY_TOKEN)_/.test(name)
  const webhookSettings = Object.fromEntries(Object.entries(given).filter(isWebhookSetting)) as Record<string, string>
  return Object.freeze({ ...config, webhookSettings })
}

/** Does not repeat the URL: it may hold a password. */
function redisUrlFault(url: string): string[] {
  try {
    redisTarget(url)
    return []
  } catch (error) {
    return [`REDIS_URL is not valid, ${(error as Error).message}: ${descriptionOf('REDIS_URL')}`]
  }
}

interface SettingFault {
  keyword: string
  instancePath: string
  params: { missingProperty?: string; allowedValues?: string[]; limit?: number; comparison?: string; type?: string }
}

function lineOf({ keyword, instancePath, params }: SettingFault): string {
  const name = keyword === 'required' ? String(params.missingProperty) : instancePath.slice(1)
  const description = descriptionOf(name)
  if (keyword === 'required') return `${name} is required: ${description}`
  if (keyword === 'enum') return `${name} must be one of ${params.allowedValues?.join(', ')}`
  if (keyword === 'type') return `${name} must be a whole number`
  if (keyword === 'minimum' || keyword === 'maximum') return `${name} must be ${params.comparison} ${params.limit}`
  return `${name} is not valid: ${description}`
}

function descriptionOf(name: string): string {
  const { description = '' } = (Config.properties as Record<string, { description?: string }>)[name] ?? {}
  return description.replace(/ Required\.$/, '')
}
