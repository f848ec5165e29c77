import { readFile } from 'node:fs/promises'
import t from 'tap'
import { parse } from 'yaml'
import { Config } from '../src/config.ts'
import { problems } from '../src/errors.ts'

const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8')

/** The text under a heading, up to the next one of the same level. */
function section(heading: string): string {
  const [, rest = ''] = readme.split(`\n## ${heading}\n`)
  return rest.split('\n## ', 1)[0] ?? ''
}

t.test('every problem code is explained in the README, with its status, and no other is', async (t) => {
  const listed = [...section('Problem codes').matchAll(/^\| `([a-z-]+)` \| (\d{3}) \|/gm)].map(([, code, status]) => [
    code,
    Number(status)
  ])
  t.same(
    listed,
    Object.entries(problems).map(([code, { status }]) => [code, status])
  )
})

t.test('the table of routes holds everything that openapi.yaml describes', async (t) => {
  const document = await readFile(new URL('../openapi.yaml', import.meta.url), 'utf8')
  const { paths } = parse(document) as { paths: Record<string, Record<string, { summary?: string }>> }
  const described = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { summary }]) => [`${method.toUpperCase()} ${path}`, summary])
  )
  const rows = [...section('Endpoints').matchAll(/^\| `([A-Z]+ [^`]+)` \| [^|]+ \| (.*) \|$/gm)]
  const listed = new Map(rows.map(([, route, text]) => [route, text]))
  for (const [route = '', summary] of described) t.equal(listed.get(route), summary, route)
})

t.test('the settings table of the README is the schema', async (t) => {
  const listed = [...section('Settings').matchAll(/^\| `([A-Z_]+)` \| ([^|]*) \| (.*) \|$/gm)].map(
    ([, name, value, text]) => [name, value, text]
  )
  const settings = Object.entries(Config.properties as Record<string, { description?: string; default?: unknown }>)
  t.same(
    listed,
    settings.map(([name, { description, default: value }]) => [
      name,
      value === undefined || value === '' ? '' : `\`${value}\``,
      description
    ])
  )
})
