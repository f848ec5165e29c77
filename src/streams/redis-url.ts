/**
 * REDIS_URL, taken apart (pure). The credentials in it are those of the Redis servers, not of the Sentinels.
 */

export interface Address {
  host: string
  port: number
}

interface Access {
  tls: boolean
  username?: string
  password?: string
}

export type RedisTarget =
  /** One server, as ioredis reads the URL. */
  | { kind: 'server'; url: string }
  | { kind: 'socket'; path: string }
  | ({ kind: 'cluster'; nodes: Address[] } & Access)
  | ({
      kind: 'sentinel'
      sentinels: Address[]
      /** What the Sentinels call the master. */
      name: string
      db: number
      sentinelUsername?: string
      sentinelPassword?: string
    } & Access)

const CLUSTER_PORT = 6_379
const SENTINEL_PORT = 26_379

const several = /^(rediss?)\+(cluster|sentinel):\/\/(?:([^@/?]*)@)?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/

/** Throws an Error that says what is wrong, in words for the one who set it. */
export function redisTarget(url: string): RedisTarget {
  if (url.startsWith('unix:///')) return { kind: 'socket', path: url.slice('unix://'.length) }
  const parts = several.exec(url)
  if (parts === null) return serverTarget(url)
  const [, scheme, kind, userInfo, hosts = '', path = '', query = ''] = parts
  const access = { tls: scheme === 'rediss', ...credentials(userInfo) }
  if (kind === 'cluster') {
    if (path !== '' && path !== '0') throw new Error('a cluster has no databases: nothing may stand behind its nodes')
    return { kind: 'cluster', nodes: addresses(hosts, CLUSTER_PORT), ...access }
  }
  const [name = '', db = '0', ...rest] = path.split('/')
  if (name === '') throw new Error('name the master as the Sentinels do: redis+sentinel://host:26379/name')
  if (!/^\d+$/.test(db) || rest.length > 0) throw new Error(`'${path}' is not a name and the number of a database`)
  const options = new URLSearchParams(query)
  return {
    kind: 'sentinel',
    sentinels: addresses(hosts, SENTINEL_PORT),
    name: decoded(name),
    db: Number(db),
    sentinelUsername: options.get('sentinelUser') ?? undefined,
    sentinelPassword: options.get('sentinelPassword') ?? undefined,
    ...access
  }
}

function serverTarget(url: string): RedisTarget {
  if (!/^rediss?:\/\/./.test(url)) throw new Error('it begins with none of the known schemes')
  if (!URL.canParse(url)) {
    const hint = url.includes(',') ? ': several nodes need redis+cluster:// or redis+sentinel://' : ''
    throw new Error(`it is not a URL${hint}`)
  }
  return { kind: 'server', url }
}

function credentials(userInfo: string | undefined): { username?: string; password?: string } {
  if (userInfo === undefined || userInfo === '') return {}
  const colon = userInfo.indexOf(':')
  if (colon < 0) return { username: decoded(userInfo) }
  const username = decoded(userInfo.slice(0, colon))
  return { username: username === '' ? undefined : username, password: decoded(userInfo.slice(colon + 1)) }
}

function addresses(hosts: string, defaultPort: number): Address[] {
  return hosts.split(',').map((text) => {
    const [, host, port = String(defaultPort)] = /^(\[[^\]]+\]|[^:[\]]+)(?::(\d+))?$/.exec(text) ?? []
    if (host === undefined || Number(port) > 65_535) throw new Error(`'${text}' is not host:port`)
    return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) }
  })
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new Error('a % in it does not begin an escape: write it as %25')
  }
}
