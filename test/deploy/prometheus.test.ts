/** The alert rules and the dashboard, with Prometheus's own tool and against what a gateway really says. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { parse } from 'yaml'
import { shop } from '../../src/shop/topology.ts'
import { testApp } from '../fixtures/app.ts'
import { scrapeUntil } from '../fixtures/exposition.ts'

const folder = new URL('../../deploy/', import.meta.url)
const read = (path: string) => readFile(new URL(path, folder), 'utf8')

interface Rule {
  alert: string
  expr: string
  labels: Record<string, string>
  annotations: Record<string, string>
}

interface Panel {
  id: number
  type: string
  title: string
  description?: string
  datasource?: { uid: string }
  gridPos: { x: number; y: number; w: number; h: number }
  targets?: { expr: string; datasource: { uid: string } }[]
}

const { groups } = parse(await read('prometheus/headgate.rules.yml')) as { groups: { rules: Rule[] }[] }
const rules = groups.flatMap(({ rules }) => rules)
const { panels, templating } = JSON.parse(await read('grafana/headgate.json')) as {
  templating: { list: { name: string; type: string; definition?: string }[] }
  panels: Panel[]
}
const drawn = panels.filter(({ type }) => type !== 'row')

/** Runs promtool; rejects with what it said. */
async function promtool(args: string[], input = ''): Promise<string> {
  const child = spawn('promtool', args, { cwd: fileURLToPath(new URL('prometheus/', folder)) })
  await once(child, 'spawn').catch((cause) => {
    throw new Error(
      'promtool is not on PATH: install Prometheus (apt-get install prometheus, brew install prometheus)',
      {
        cause
      }
    )
  })
  child.stdin.end(input)
  const [said, complained, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  if (code !== 0) throw new Error(`promtool ${args.join(' ')}: ${said}${complained}`)
  return said
}

/** The metrics an expression asks for. */
function metricsIn(expr: string): string[] {
  const bare = expr.replace(/"[^"]*"/g, '').replace(/\{[^}]*\}/g, '')
  return Array.from(bare.matchAll(/\b(?:headgate|nodejs|process)_\w+/g), ([name]) => name)
}

/** The labels an expression selects, groups or matches by. */
function labelsIn(expr: string): string[] {
  const selected = Array.from(expr.matchAll(/[{,]\s*(\w+)\s*(?:=~|!~|!=|=)/g), ([, label = '']) => label)
  const grouped = Array.from(expr.matchAll(/\b(?:by|on|ignoring|label_values)\s*\(([^)]*)\)/g), ([, list = '']) =>
    list.replace(/\{[^}]*\}/g, '').split(',')
  ).flat()
  const isLabel = (label: string) => label !== '' && !/^headgate_/.test(label)
  return [...selected, ...grouped.map((label) => label.trim())].filter(isLabel)
}

/** Everything that is asked of Prometheus. */
const asked = [
  ...rules.map(({ alert, expr }) => ({ where: alert, expr })),
  ...drawn.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ where: title, expr }))),
  ...templating.list.flatMap(({ name, definition: expr }) => (expr === undefined ? [] : [{ where: name, expr }]))
]

t.test('Prometheus takes the rules as they are', async (t) => {
  t.match(await promtool(['check', 'rules', 'headgate.rules.yml']), `SUCCESS: ${rules.length} rules found`)
})

t.test('each alert fires when it has to, and not otherwise', async (t) => {
  t.match(await promtool(['test', 'rules', 'headgate.rules.test.yml']), 'SUCCESS')
  const tests = await read('prometheus/headgate.rules.test.yml')
  const fires = ({ alert, labels }: Rule) =>
    tests.includes(`ALERTS{alertname="${alert}", alertstate="firing", severity="${labels.severity}"`)
  t.same(
    rules.filter((rule) => !fires(rule)).map(({ alert }) => alert),
    [],
    'none is untested'
  )
})

t.test('each alert says how bad it is, what it means, and what to do first', async (t) => {
  const runbook = await readFile(new URL('../OPERATIONS.md', folder), 'utf8')
  const headings = Array.from(runbook.matchAll(/^## (.+)$/gm), ([, heading]) => `OPERATIONS.md: ${heading}`)
  for (const { alert, labels, annotations } of rules) {
    t.match(labels.severity, /^(warning|critical)$/, alert)
    t.match(annotations, { summary: /\S/, command: /^(curl|redis-cli) / }, alert)
    t.ok(headings.includes(annotations.runbook ?? ''), `${alert}: ${annotations.runbook}`)
  }
})

t.test('rules and dashboard ask for what a gateway really shows', async (t) => {
  const { app } = await testApp(t, { topology: shop({}) })
  const exposition = await scrapeUntil(app, (now) => now.value('headgate_redis_answered') === 1)
  const families = [...exposition.families]
  const parts = ['bucket', 'sum', 'count']
  const names = new Set(
    families.flatMap(([name, type]) => (type === 'histogram' ? parts.map((part) => `${name}_${part}`) : [name]))
  )
  // Prometheus adds the first two.
  const labels = new Set(['instance', 'job', 'le', ...exposition.labels])
  for (const { where, expr } of asked) {
    const unknown = [
      ...metricsIn(expr).filter((name) => !names.has(name)),
      ...labelsIn(expr).filter((label) => !labels.has(label))
    ]
    t.same(unknown, [], where)
  }
  const shown = new Set(
    asked.flatMap(({ expr }) => metricsIn(expr)).flatMap((name) => [name, name.replace(/_(bucket|sum|count)$/, '')])
  )
  const ignored = families.map(([name]) => name).filter((name) => name.startsWith('headgate_') && !shown.has(name))
  // The memory they take is shown instead.
  t.same(ignored, ['headgate_stream_remembered_keys'], 'nothing is counted that nobody looks at')

  t.test('and Prometheus finds no fault with it, but for names that prom-client gives', async (t) => {
    const complaints = await promtool(['check', 'metrics'], exposition.text).catch(({ message }) => String(message))
    t.same(
      complaints.split('\n').filter((line) => /^headgate_/.test(line)),
      []
    )
    t.notMatch(complaints, 'error while linting')
  })
})

t.test('every panel of the dashboard has its place, an explanation, and a source that can be chosen', async (t) => {
  t.match(templating.list[0], { name: 'datasource', type: 'datasource' })
  const places = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)} ${y + Math.floor(cell / w)}`)
  )
  t.equal(new Set(places).size, places.length, 'no panel covers another')
  t.equal(new Set(panels.map(({ id }) => id)).size, panels.length)
  for (const { title, description, gridPos, datasource, targets = [] } of drawn) {
    t.ok(gridPos.x + gridPos.w <= 24, title)
    t.match(description, /\.$/, title)
    const sources = new Set([datasource, ...targets.map((target) => target.datasource)].map((source) => source?.uid))
    t.same([...sources], [`\${datasource}`], title)
    t.ok(targets.length > 0, title)
  }
})
