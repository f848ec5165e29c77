import { type Static, Type } from 'typebox'
import { next, page } from './group.ts'

export const AuditQuery = Type.Object(page, { additionalProperties: false })

export const AuditEntry = Type.Object(
  {
    id: Type.String(),
    at: Type.String({ format: 'date-time' }),
    key: Type.String({ description: 'Name of the API key.' }),
    address: Type.String(),
    requestId: Type.String(),
    operation: Type.String({ description: 'The operationId.' }),
    stream: Type.Optional(Type.String()),
    group: Type.Optional(Type.String()),
    arguments: Type.String({ description: 'Parameters and body, JSON text.' }),
    status: Type.Integer({ description: 'HTTP status of the answer.' }),
    result: Type.String({ description: 'The answer, JSON text; cut when it is long.' })
  },
  { $id: 'AuditEntry', description: 'One thing an operator did, or tried to do.' }
)
export type AuditEntry = Static<typeof AuditEntry>

export const AuditEntries = Type.Object(
  { items: Type.Array(Type.Unsafe<AuditEntry>(Type.Ref('AuditEntry')), { description: 'Newest first.' }), next },
  { $id: 'AuditEntries', description: 'What operators did. The last 10,000 entries are kept.' }
)
export type AuditEntries = Static<typeof AuditEntries>
