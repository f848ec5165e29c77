import { createHash } from 'node:crypto'

/**
 * What Twilio signs: the whole URL, then for a form body every parameter as name and value, sorted by name, a
 * repeated value once. Any other body is bound by `bodySHA256` in the signed URL.
 *
 * Several contents are returned because Twilio signs the URL with or without the default port, whatever was configured.
 * Undefined: the body is bound by nothing, or not by what the URL says.
 *
 * Known gap: names and values are joined without a separator, so the form's bytes are not all covered and a replay may
 * change its order. Twilio's scheme has no timestamp either.
 */
export function twilioContents(url: string, contentType: string, body: Uint8Array): string[] | undefined {
  const query = new URLSearchParams(url.includes('?') ? url.slice(url.indexOf('?') + 1).split('#', 1)[0] : '')
  const hashes = query.getAll('bodySHA256')
  const isForm = /^application\/x-www-form-urlencoded\s*(;|$)/i.test(contentType)
  if (hashes.length > 0) {
    if (hashes.length > 1 || hashes[0] !== createHash('sha256').update(body).digest('hex')) return undefined
  } else if (!isForm && body.length > 0) return undefined
  const parameters = isForm ? formContent(body) : ''
  return urlVariants(url).map((variant) => variant + parameters)
}

function formContent(body: Uint8Array): string {
  const form = new URLSearchParams(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'))
  const names = [...new Set(form.keys())].sort()
  return names
    .map((name) =>
      [...new Set(form.getAll(name))]
        .sort()
        .map((value) => name + value)
        .join('')
    )
    .join('')
}

/** The URL as configured first, then with the default port left out or spelled out. */
function urlVariants(url: string): string[] {
  const [, scheme, host, port, rest] = /^(https?):\/\/([^/?#:]+|\[[^\]]+\])(:\d+)?([/?#].*)?$/.exec(url) ?? []
  if (scheme === undefined || host === undefined) return [url]
  const other = port === undefined ? (scheme === 'https' ? ':443' : ':80') : ''
  return [url, `${scheme}://${host}${other}${rest ?? ''}`]
}
