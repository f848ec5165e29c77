import { readFileSync } from 'node:fs'
import t from 'tap'
import { Config } from '../src/config.ts'

t.test('.env.example lists every setting, in the order of the schema, with its description and default', async (t) => {
  const text = readFileSync(new URL('../.env.example', import.meta.url), 'utf8')
  const listed = [...text.matchAll(/^# (.+)\n#(\w+)=(.*)$/gm)].map(([, description, name, value]) => ({
    description,
    name,
    value
  }))
  const settings = Object.entries(Config.properties as Record<string, { description?: string; default?: unknown }>)
  t.same(
    listed.map(({ description, name }) => ({ description, name })),
    settings.map(([name, { description }]) => ({ description, name }))
  )
  for (const [name, setting] of settings) {
    if (setting.default === undefined) continue
    t.equal(listed.find((line) => line.name === name)?.value, String(setting.default), name)
  }
})
