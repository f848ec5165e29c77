import t from 'tap'
import { redisTarget } from '../../src/streams/redis-url.ts'

t.test('one server, a socket, a cluster and Sentinels are told apart, with and without TLS', async (t) => {
  t.same(redisTarget('redis://:pw@h:1/2'), { kind: 'server', url: 'redis://:pw@h:1/2' })
  t.same(redisTarget('unix:///run/redis.sock'), { kind: 'socket', path: '/run/redis.sock' })
  t.match(redisTarget('redis+cluster://a:1,b'), {
    kind: 'cluster',
    tls: false,
    nodes: [
      { host: 'a', port: 1 },
      { host: 'b', port: 6379 }
    ]
  })
  t.match(redisTarget('rediss+cluster://[::1]:7000'), { tls: true, nodes: [{ host: '::1', port: 7000 }] })
  t.match(redisTarget('rediss+sentinel://a,b:2/main/3?sentinelUser=s&sentinelPassword=t'), {
    kind: 'sentinel',
    tls: true,
    name: 'main',
    db: 3,
    sentinels: [
      { host: 'a', port: 26379 },
      { host: 'b', port: 2 }
    ],
    sentinelUsername: 's',
    sentinelPassword: 't'
  })
})

t.test('credentials are those of Redis, and may hold any character in its escape', async (t) => {
  t.match(redisTarget('redis+cluster://gate:p%40ss%3A,@a'), { username: 'gate', password: 'p@ss:,' })
  t.match(redisTarget('redis+sentinel://:secret@a/name'), { username: undefined, password: 'secret' })
  t.match(redisTarget('redis+cluster://a'), { username: undefined, password: undefined })
})

t.test('a URL that cannot be used says why', async (t) => {
  const why = (url: string) => {
    try {
      return redisTarget(url)
    } catch (error) {
      return (error as Error).message
    }
  }
  t.match(why('http://h'), /known schemes/)
  t.match(why('unix://run'), /known schemes/)
  t.match(why('redis://a:1,b:2'), /several nodes need redis\+cluster/)
  t.match(why('redis+cluster://a/1'), /no databases/)
  t.match(why('redis+cluster://'), /'' is not host:port/)
  t.match(why('redis+cluster://a:b'), /'a:b' is not host:port/)
  t.match(why('redis+cluster://a,,b'), /'' is not host:port/)
  t.match(why('redis+cluster://a:70000'), /'a:70000' is not host:port/)
  t.match(why('redis+sentinel://a:26379'), /name the master/)
  t.match(why('redis+sentinel://a/name/db'), /'name\/db' is not a name/)
  t.match(why('redis+cluster://u:100%@a'), /%25/)
})
