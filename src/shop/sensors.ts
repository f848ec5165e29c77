/** Sensor readings: many, soon stale, and kept only as long as there is room. */
import { ReadingRecorded } from '../../schemas/events/sensors.ts'
import type { ReceivedEvent } from '../streams/entry.ts'
import { dataOf } from '../topology.ts'
import type { HandlerContext } from '../topology-options.ts'
import { keepLatest } from './latest.ts'

/** Keeps the latest reading of each sensor as the hash `sensor:<sensorId>:<metric>`. */
export async function keepReading(event: ReceivedEvent, context: HandlerContext): Promise<void> {
  const { sensorId, metric, value, unit = '', recordedAt } = dataOf(ReadingRecorded, event)
  await keepLatest(context, `sensor:${sensorId}:${metric}`, recordedAt, { value, unit, recordedAt })
}
