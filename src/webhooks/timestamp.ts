const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/

/** A sent timestamp in milliseconds since the epoch; undefined unless it is exactly digits, or strict RFC 3339. */
export function instantOf(text: string, unit: 's' | 'ms' | 'rfc3339'): number | undefined {
  if (unit !== 'rfc3339') return /^\d{1,15}$/.test(text) ? Number(text) * (unit === 's' ? 1_000 : 1) : undefined
  const instant = rfc3339.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(instant) ? undefined : instant
}

/** `now` in milliseconds, as a sender of that unit writes it. */
export function timestampText(now: number, unit: 's' | 'ms' | 'rfc3339'): string {
  if (unit === 'rfc3339') return new Date(now).toISOString()
  return String(unit === 's' ? Math.floor(now / 1_000) : Math.floor(now))
}
