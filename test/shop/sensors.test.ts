import t from 'tap'
import { shop } from '../../src/shop/topology.ts'
import { createKeys } from '../../src/streams/keys.ts'
import { as, testApp } from '../fixtures/app.ts'
import { until } from '../fixtures/until.ts'

t.test('the latest reading of each sensor is kept, whatever order they come in', async (t) => {
  const { app, redis, prefix } = await testApp(t, { topology: shop({}) })
  const reading = (value: number, recordedAt: string) => ({
    type: 'sensors.reading.recorded',
    data: { sensorId: 's1', metric: 'temperature', value, unit: 'C', recordedAt }
  })
  const payload = [reading(20, '2026-11-21T08:00:02Z'), reading(19, '2026-11-21T08:00:01Z')]
  const response = await app.inject({ method: 'POST', url: '/events/batch', headers: as('publisher'), payload })
  t.equal(response.statusCode, 202)
  const keys = createKeys(prefix).of('sensors:reading:recorded')
  await until(async () => (await redis.hget(keys.group('reading_keepers').counts, 'acked')) === '2')
  t.match(await redis.hgetall(`${prefix}sensor:s1:temperature`), { value: '20', unit: 'C' })
})
