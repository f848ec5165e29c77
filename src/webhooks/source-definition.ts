/** What a topology says of one webhook sender, checked and filled in. */
import type { StreamDefinition } from '../topology.ts'
import type { PresetDefinition } from './preset-definition.ts'
import { checkPreset } from './preset-faults.ts'
import { presetOf } from './presets.ts'

export interface SourceOptions {
  /** A name of src/webhooks/presets.ts, or a definition for a sender that is not among them. */
  preset: string | PresetDefinition
  /** The stream of its deliveries; `webhooks:<source>:event` unless given. */
  stream?: string
  /** Request headers that are kept with the event, as JSON in its extension `httpheaders`. */
  keepHeaders?: string[]
  /** Seconds, in place of the preset's own window around now; null accepts any age. */
  toleranceSeconds?: number | null
  /** How long a delivery is remembered: at least as long as the sender may repeat it. 72 h unless given. */
  dedupeWindowMs?: number
  /** Largest body; BODY_LIMIT_BYTES unless given. */
  bodyLimitBytes?: number
  /** Verified deliveries that one process takes; any number unless given. What is not verified counts for nobody. */
  ratePerSecond?: number
  /** Origins that a CloudEvents sender may name in its handshake; any unless given, for deliveries need the secret. */
  allowedOrigins?: string[]
}

export interface SourceDefinition {
  name: string
  preset: PresetDefinition
  stream: StreamDefinition
  /** Lower-case names. */
  keepHeaders: readonly string[]
  /** Undefined: the preset's own. */
  toleranceSeconds?: number | null
  dedupeWindowMs: number
  bodyLimitBytes?: number
  ratePerSecond?: number
  allowedOrigins?: readonly string[]
}

/** Meta retries for 36 h, Stripe and Paddle for 3 days. Adyen (30 days) and WhatsApp (7) need more. */
const DEDUPE_WINDOW_MS = 72 * 3_600_000

const sourceName = /^[a-z0-9][a-z0-9-]{0,63}$/
const credentialHeaders = ['authorization', 'proxy-authorization', 'cookie']

/**
 * Reads one source; undefined, with the faults reported one line each, when it cannot be used.
 * `streamNamed` gives the stream of that name; it may create the source's own one, with the window it is given.
 */
export function sourceDefinition(
  name: string,
  given: SourceOptions,
  streamNamed: (name: string, own: boolean, dedupeWindowMs: number) => StreamDefinition | undefined,
  report: (fault: string) => void
): SourceDefinition | undefined {
  let sound = true
  const fault = (text: string) => {
    sound = false
    report(`source '${name}': ${text}`)
  }
  // The name is part of WEBHOOK_SECRET_<NAME>, where '-' becomes '_': an underscore of its own could meet another name.
  if (!sourceName.test(name)) fault("a name is made of lower-case letters, digits and '-', at most 64")
  for (const text of checkPreset(given.preset)) fault(text)
  const preset = presetOf(given.preset)
  if (preset === undefined || !sound) return undefined

  const { toleranceSeconds, dedupeWindowMs = DEDUPE_WINDOW_MS, bodyLimitBytes, ratePerSecond, allowedOrigins } = given
  toleranceFaults(preset, toleranceSeconds, fault)
  if (!(dedupeWindowMs > 0)) fault('dedupeWindowMs is a number of milliseconds above 0')
  if (bodyLimitBytes !== undefined && !(Number.isInteger(bodyLimitBytes) && bodyLimitBytes >= 1))
    fault('bodyLimitBytes is a whole number of at least 1')
  if (ratePerSecond !== undefined && !(Number.isFinite(ratePerSecond) && ratePerSecond > 0))
    fault('ratePerSecond is a number above 0')
  if (allowedOrigins !== undefined && preset.handshake !== 'cloudevents-options')
    fault('allowedOrigins has no meaning: this sender asks for no permission')
  const keepHeaders = (given.keepHeaders ?? []).map((header) => header.toLowerCase())
  for (const header of keepHeaders) headerFaults(preset, header, fault)
  const streamName = given.stream ?? `webhooks:${name}:event`
  const stream = streamNamed(streamName, given.stream === undefined, dedupeWindowMs)
  if (stream === undefined) fault(`stream '${streamName}' is not in streams`)
  else if (stream.observed) fault(`stream '${streamName}' is observed, so nothing is written to it`)
  if (stream === undefined || !sound) return undefined
  const limits = { toleranceSeconds, dedupeWindowMs, bodyLimitBytes, ratePerSecond, allowedOrigins }
  return { name, preset, stream, keepHeaders, ...limits }
}

function toleranceFaults(
  preset: PresetDefinition,
  seconds: number | null | undefined,
  fault: (text: string) => void
): void {
  if (seconds === undefined) return
  if (preset.kind === 'token' || preset.timestamp === undefined)
    fault('toleranceSeconds has no meaning: this sender signs no timestamp')
  else if (seconds !== null && !(Number.isFinite(seconds) && seconds > 0))
    fault('toleranceSeconds is a number above 0, or null')
}

/** A header that carries a credential would put it into the stream. */
function headerFaults(preset: PresetDefinition, header: string, fault: (text: string) => void): void {
  if (!/^[a-z0-9!#$%&'*+.^_`|~-]+$/.test(header)) fault(`keepHeaders: '${header}' is not a header name`)
  const secret = preset.kind === 'token' ? (preset.token.headers ?? []) : []
  if (credentialHeaders.includes(header) || secret.includes(header))
    fault(`keepHeaders: '${header}' carries a secret, which must not be stored`)
}
