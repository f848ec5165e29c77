/**
 * Who may call what. A route says what it needs in its config, `{ scope: 'read' }` or `{ public: true }`; one that says
 * neither cannot be registered. The check runs before the body is read or decoded. A file of keys is read again when it
 * changes; a key's rate outlives that.
 */
import type { FastifyInstance, onRequestHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { ProblemError } from '../errors.ts'
import { StartupError } from '../startup-error.ts'
import { watchFile } from './key-file.ts'
import { rateLimited } from './rate-limits.ts'
import { type Action, type ApiKey, type Authenticate, authenticatorFromJson } from './scopes.ts'
import { createTokenBuckets, type TokenBuckets } from './token-buckets.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The caller; null on public routes. */
    apiKey: ApiKey | null
  }
  interface FastifyContextConfig {
    /** Any one of these is enough. With a `:stream` in the path, it is needed for that stream. */
    scope?: Action | readonly Action[]
    /** Answers anybody. */
    public?: true
  }
}

export interface KeysOptions {
  /** JSON of the keys, or the path of a file that holds it; the text wins. */
  json?: string
  file?: string
}

export const keys = fp<KeysOptions>(
  async (app, options) => {
    const authenticate = await authenticatorFrom(options, app)
    const buckets = createTokenBuckets(MAX_NAMES)
    app.decorateRequest('apiKey', null)
    app.addHook('onRoute', (route) => {
      const { scope, public: isPublic } = route.config ?? {}
      if (scope === undefined && isPublic === undefined)
        throw new Error(`${route.method} ${route.url} declares neither a scope nor public`)
      if (scope === undefined) return
      const given = route.onRequest === undefined ? [] : [route.onRequest].flat()
      route.onRequest = [authorize(authenticate, buckets, [scope].flat() as Action[]), ...given]
    })
  },
  { name: 'keys', fastify: '5.x' }
)

// More names than anyone gives: a key that is forgotten starts with a full bucket.
const MAX_NAMES = 100_000

async function authenticatorFrom({ json, file }: KeysOptions, app: FastifyInstance): Promise<Authenticate> {
  if (json !== undefined) return authenticatorFromJson(json, 'API_KEYS')
  if (file === undefined) throw new StartupError('API_KEYS or API_KEYS_FILE is required')
  let current: Authenticate = () => undefined
  const use = (text: string) => {
    current = authenticatorFromJson(text, 'API_KEYS_FILE')
  }
  const unwatch = await watchFile({ file, use, log: app.log }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === undefined || error instanceof StartupError) throw error
    throw new StartupError(`API_KEYS_FILE: ${file} cannot be read (${error.code})`)
  })
  app.addHook('onClose', async () => unwatch())
  return (authorization, connection) => current(authorization, connection)
}

function authorize(
  authenticate: Authenticate,
  buckets: TokenBuckets,
  actions: readonly Action[]
): onRequestHookHandler {
  const needed = actions.join(' or ')
  return (request, _reply, done) => {
    const { authorization } = request.headers
    const key = authenticate(authorization, request.raw.socket)
    if (key === undefined) return done(unauthenticated(authorization !== undefined))
    if (key.ratePerSecond !== undefined) {
      const waitSeconds = buckets.take(key.name, key.ratePerSecond, performance.now())
      if (waitSeconds > 0)
        return done(
          rateLimited(`The key '${key.name}' may make ${key.ratePerSecond} requests per second.`, waitSeconds)
        )
    }
    const { stream } = request.params as { stream?: string }
    if (!actions.some((action) => key.may(action, stream))) {
      const detail = `The key '${key.name}' lacks the scope ${needed}${stream === undefined ? '' : ` for the stream '${stream}'`}.`
      const challenge = `Bearer error="insufficient_scope", scope="${actions.join(' ')}"`
      return done(new ProblemError('forbidden', { detail, headers: { 'www-authenticate': challenge } }))
    }
    request.apiKey = key
    done()
  }
}

function unauthenticated(presented: boolean): ProblemError {
  return new ProblemError('unauthenticated', {
    detail: presented ? 'The Authorization header holds no API key that is known here.' : undefined,
    headers: { 'www-authenticate': presented ? 'Bearer error="invalid_token"' : 'Bearer' }
  })
}
