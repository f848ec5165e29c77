import { readFile } from 'node:fs/promises'
import t from 'tap'
import { presets, refusedPresets } from '../../src/webhooks/presets.ts'
import { presetTable } from './preset-rows.ts'

const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8')
const [, section = ''] = readme.split('\n## Webhooks\n')

t.test('the table of the README says of every preset what is checked and what is not', async (t) => {
  const table = /^\| Preset \|(?:.+\n)+/m.exec(section)?.[0] ?? ''
  t.equal(table, presetTable(presets))
})

t.test('the README says why the schemes that are left out are', async (t) => {
  for (const name of refusedPresets.keys()) t.ok(section.includes(`\`${name}\``), name)
})
