/**
 * The webhook sources of a topology, with what the environment adds to them: secrets, and the address they are known by.
 */
import { StartupError } from './startup-error.ts'
import type { Publication } from './streams/publisher.ts'
import type { Topology } from './topology.ts'
import { type Delivery, publicationOf } from './webhooks/delivery.ts'
import { answerHandshake, type HandshakeAnswer } from './webhooks/handshakes.ts'
import type { PresetDefinition } from './webhooks/preset-definition.ts'
import { checkSecret, type Reason, verifyWebhook } from './webhooks/signature.ts'
import type { SourceDefinition } from './webhooks/source-definition.ts'

export type Reception =
  | { kind: 'handshake'; answer: HandshakeAnswer }
  | { kind: 'delivery'; publication: Publication }
  /** `reason` is for the log alone. */
  | { kind: 'refused'; reason: Reason }
  /** Verified, and not a POST: nothing to store. */
  | { kind: 'not-a-delivery' }

/** A source that may be posted to. */
export interface Source {
  definition: SourceDefinition
  /** Decides what a request is. Absent while no secret is configured: nothing can be verified. Never throws. */
  receive?: (delivery: Delivery) => Reception
}

export interface SourcesOptions {
  topology: Topology
  /** WEBHOOK_SECRET_<SOURCE> and WEBHOOK_VERIFY_TOKEN_<SOURCE>, by name. */
  settings: Readonly<Record<string, string>>
  /** Where senders reach this gateway. */
  publicUrl?: string
}

/** Throws StartupError with one line for each secret that cannot be used and each source that needs PUBLIC_URL. */
export function openSources({ topology, settings, publicUrl }: SourcesOptions): ReadonlyMap<string, Source> {
  const lines: string[] = []
  const sources = new Map<string, Source>()
  for (const definition of topology.sources.values()) {
    const { name, preset } = definition
    if (publicUrl === undefined && signsUrl(preset))
      lines.push(`PUBLIC_URL is required: the sender of source '${name}' signs the address it posts to`)
    const setting = secretSetting(name)
    const secrets = settings[setting]?.split(',')
    for (const secret of secrets ?? [])
      for (const fault of checkSecret(preset, secret)) lines.push(`${setting}: ${fault}`)
    const verifyToken = settings[setting.replace('SECRET', 'VERIFY_TOKEN')]
    const base = `${publicUrl?.replace(/\/+$/, '') ?? ''}/webhooks/${name}`
    sources.set(name, {
      definition,
      receive: secrets && receiver(definition, { secrets, verifyToken, base })
    })
  }
  if (lines.length > 0) throw new StartupError(lines.join('\n'))
  return sources
}

/** The environment variable with a source's secrets, comma-separated while they rotate. */
export function secretSetting(source: string): string {
  return `WEBHOOK_SECRET_${source.toUpperCase().replaceAll('-', '_')}`
}

function signsUrl(preset: PresetDefinition): boolean {
  return preset.kind !== 'token' && /\{(url|unescapedUrl|twilio)\}/.test(preset.signed)
}

function receiver(
  definition: SourceDefinition,
  { secrets, verifyToken, base }: { secrets: string[]; verifyToken?: string; base: string }
): (delivery: Delivery) => Reception {
  const { preset, toleranceSeconds, allowedOrigins, ratePerSecond } = definition
  const allowedRate = ratePerSecond === undefined ? undefined : Math.floor(ratePerSecond * 60)
  return (delivery) => {
    const { method, search, query, headers, body } = delivery
    const now = new Date()
    const url = base + search
    const verdict = verifyWebhook(preset, {
      secrets,
      method,
      url,
      headers,
      body,
      now: now.getTime(),
      toleranceSeconds
    })
    const answer = answerHandshake(preset, {
      method,
      query,
      headers,
      body,
      verifyToken,
      verified: verdict.ok,
      allowedOrigins,
      allowedRate
    })
    if (answer !== undefined) return { kind: 'handshake', answer }
    if (!verdict.ok) return { kind: 'refused', reason: verdict.reason }
    if (method !== 'POST') return { kind: 'not-a-delivery' }
    return { kind: 'delivery', publication: publicationOf(definition, verdict, delivery, now) }
  }
}
