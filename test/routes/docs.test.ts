import t from 'tap'
import { testApp } from '../fixtures/app.ts'
import { portOf } from '../fixtures/http.ts'

const { app } = await testApp(t, { CONSUMERS: 'off' })
const base = `http://127.0.0.1:${await portOf(app)}`

t.test('the API reference loads everything it names from the gateway itself, without a key', async (t) => {
  for (const path of ['/docs', '/docs/']) {
    const page = await fetch(base + path)
    t.match([page.status, page.headers.get('content-type')], [200, /^text\/html/])
    const html = await page.text()
    const assets = Array.from(html.matchAll(/(?:src|href)="([^"]+)"/g), ([, url]) => new URL(String(url), page.url))
    t.ok(assets.length >= 6)
    for (const { href, origin } of assets) {
      t.equal(origin, base)
      const asset = await fetch(href)
      t.equal(asset.status, 200, href)
      const text = await asset.text()
      if (href.endsWith('.css')) t.notMatch(text, /(@import|url\((?!["']?(data:|#)))/, href)
    }
    t.notMatch(html, /<script(?![^>]* src=)|<style|\son\w+=|https?:/, 'nothing inline, nothing from outside')
  }
})

t.test('the page may run its own scripts and ask its own gateway, over plain HTTP, and nothing else', async (t) => {
  const { headers } = await fetch(`${base}/docs`)
  t.equal(
    headers.get('content-security-policy'),
    "default-src 'none';script-src 'self';style-src 'self';img-src 'self' data:;connect-src 'self';base-uri 'none';form-action 'none';frame-ancestors 'none'"
  )
  t.equal(headers.get('strict-transport-security'), null)
  t.equal(headers.get('x-content-type-options'), 'nosniff')
  t.equal((await fetch(`${base}/livez`)).headers.get('content-security-policy'), null, 'other routes do not pay for it')
})

t.test(
  "it shows the gateway's own description, which knows nothing of the page, and tries things out here",
  async (t) => {
    const read = async (path: string) => (await app.inject(path)).json()
    const shown = await read('/docs/json')
    const { servers, ...published } = await read('/openapi.json')
    t.match(shown, published)
    t.notMatch(Object.keys(published.paths), [/docs/])
    t.equal(new URL(shown.servers[0].url, `${base}/docs/json`).href, `${base}/`)
    t.not(servers[0].url, shown.servers[0].url)
  }
)

t.test('nothing beside the page and what it loads is served', async (t) => {
  for (const path of [
    'yaml',
    'static/',
    'static/index.html',
    'static/%2e%2e/package.json',
    'static/..%2fpackage.json',
    'x'
  ])
    t.match((await app.inject(`/docs/${path}`)).json(), { status: 404, code: 'route-not-found' }, path)
})

t.test('with a port of their own for operators, the page is there and not on the public one', async (t) => {
  const { app } = await testApp(t, { ADMIN_PORT: 0, ADMIN_HOST: '127.0.0.1', CONSUMERS: 'off' })
  const outside = `http://127.0.0.1:${await portOf(app)}`
  const inside = await app.listenForOperators()
  for (const path of ['/docs', '/docs/', '/docs/json', '/docs/static/swagger-ui.css', '/%64ocs/json']) {
    t.equal((await fetch(outside + path)).status, 404, path)
    t.equal((await fetch(inside + path)).status, path.startsWith('/docs') ? 200 : 404, path)
  }
})
