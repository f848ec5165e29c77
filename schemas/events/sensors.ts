/** Payloads of the sensor events. */
import { type Static, Type } from 'typebox'

export const ReadingRecorded = Type.Object(
  {
    sensorId: Type.String({ minLength: 1, maxLength: 200 }),
    metric: Type.String({ minLength: 1, description: 'What was measured, for example temperature.' }),
    value: Type.Number(),
    unit: Type.Optional(Type.String()),
    recordedAt: Type.String({ format: 'date-time' })
  },
  { $id: 'ReadingRecorded', description: 'A sensor has measured something.' }
)
export type ReadingRecorded = Static<typeof ReadingRecorded>
