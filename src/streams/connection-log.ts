/**
 * What the log says about connections: one line when the first of a server's connections breaks, and one when all of them
 * are back. A gateway may have a hundred, and they break together.
 */
import type { Log } from '../log.ts'

interface Watched {
  on: (event: string, listener: (error: Error) => void) => unknown
}

export interface ConnectionLog {
  /** `nodeOf`: the server it is, or should be, connected to. */
  watch: (connection: Watched, about: { use: string; nodeOf: () => string }) => void
}

const certificates = /CERT|SELF_SIGNED|UNABLE_TO_(GET_ISSUER|VERIFY)/
const credentials = /^(WRONGPASS|NOAUTH|NOPERM)/

export function createConnectionLog(log: Log): ConnectionLog {
  /** By server: its connections that are broken. */
  const broken = new Map<string, Set<Watched>>()
  return {
    watch(connection, { use, nodeOf }) {
      let node: string | undefined
      let wasReady = false
      let cause: (Error & { code?: string }) | undefined
      const mended = (): number => {
        const others = broken.get(node ?? '')
        node = undefined
        others?.delete(connection)
        return others?.size ?? 0
      }
      connection.on('error', (err) => {
        cause = err
      })
      connection.on('reconnecting', () => {
        if (node !== undefined) return
        node = nodeOf()
        const others = broken.get(node) ?? new Set()
        broken.set(node, others.add(connection))
        if (others.size === 1) log.warn({ err: cause, node, connection: use }, reason(cause, wasReady))
      })
      connection.on('ready', () => {
        wasReady = true
        cause = undefined
        const was = node
        if (was !== undefined && mended() === 0) log.info({ node: was }, 'Redis connections are back')
      })
      connection.on('end', mended)
    }
  }
}

function reason(err: (Error & { code?: string }) | undefined, wasReady: boolean): string {
  if (certificates.test(err?.code ?? ''))
    return 'The certificate of Redis is not trusted: REDIS_TLS_CA_FILE names the authority it has to come from; trying again'
  if (credentials.test(err?.message ?? '')) return 'Redis refuses the user or the password of REDIS_URL; trying again'
  return wasReady ? 'Redis connection lost, reconnecting' : 'Redis cannot be reached, trying again'
}
