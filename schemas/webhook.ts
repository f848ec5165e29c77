import { type Static, Type } from 'typebox'

/** Not in openapi.yaml: webhook senders bring their own client. */
export const DeliveryReceipt = Type.Object({
  id: Type.String({ description: "The sender's delivery id, or the SHA-256 of the body where it has none." }),
  entryId: Type.String(),
  duplicate: Type.Boolean({ description: 'It was known: entryId is that of its first delivery.' })
})
export type DeliveryReceipt = Static<typeof DeliveryReceipt>
