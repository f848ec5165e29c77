/** The cases of test/fixtures/vectors/webhooks.json. */
import { readFileSync } from 'node:fs'
import type { Headers } from '../../src/webhooks/request.ts'

export interface Vector {
  id: string
  provider: string
  title: string
  expected: 'valid' | 'invalid'
  reason: string
  secrets: string[]
  method: string
  url?: string
  headers: Record<string, string | string[]>
  body: { encoding: BufferEncoding; value: string }
  now?: number
  toleranceSeconds?: number
  extract?: { eventType?: string; deliveryId?: string }
}

export interface HandshakeVector {
  id: string
  provider: string
  config: {
    verifyToken?: string
    secrets?: string[]
    publicKey?: string
    now?: number
    clientState?: string
    allowedOrigins?: string[]
  }
  request: { method: string; target: string; headers: Record<string, string>; body: string }
  expected: {
    status?: number
    statusIn?: number[]
    contentTypePrefix?: string
    body?: string
    bodyJson?: unknown
    absentHeaders?: string[]
    enqueued: number
  }
}

const path = new URL('../fixtures/vectors/webhooks.json', import.meta.url)

export const { vectors, handshakes } = JSON.parse(readFileSync(path, 'utf8')) as {
  vectors: Vector[]
  handshakes: HandshakeVector[]
}

export function lowerCase(headers: Record<string, string | string[]>): Headers {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}
