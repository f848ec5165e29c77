import { readFile } from 'node:fs/promises'
import t from 'tap'
import { parse } from 'yaml'
import { openapiYaml } from '../src/app.ts'
import shop from '../src/shop/topology.ts'

interface Operation {
  operationId?: string
  tags?: string[]
  requestBody?: { content: Record<string, unknown> }
  responses: Record<string, { description: string; content?: Record<string, { schema: { $ref?: string } }> }>
}

interface Document {
  openapi: string
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, unknown> }
}

const text = await openapiYaml(shop)
const document = parse(text) as Document
const operations = Object.values(document.paths).flatMap((path) => Object.values(path))

t.test('openapi.yaml is what the routes and schemas say (npm run openapi writes it)', async (t) => {
  t.equal(await readFile(new URL('../openapi.yaml', import.meta.url), 'utf8'), text)
})

t.test('every operation has an id of its own, one tag and at most one request content type', async (t) => {
  const ids = operations.map(({ operationId }) => operationId)
  t.equal(new Set(ids).size, ids.length)
  for (const { operationId = '', tags = [], requestBody } of operations) {
    t.match(operationId, /^[a-z][A-Za-z0-9]*$/)
    t.equal(tags.length, 1, operationId)
    t.ok(Object.keys(requestBody?.content ?? {}).length <= 1, operationId)
  }
})

t.test('every answer is a named component under an explicit status, and every error is a Problem', async (t) => {
  for (const { operationId = '', responses } of operations) {
    for (const [status, { content = {} }] of Object.entries(responses)) {
      t.match(status, /^\d{3}$/, operationId)
      for (const [mediaType, { schema }] of Object.entries(content)) {
        t.match(schema.$ref, /^#\/components\/schemas\/\w+$/, `${operationId} ${status}`)
        if (mediaType === 'application/problem+json') t.equal(schema.$ref, '#/components/schemas/Problem')
      }
    }
  }
})

t.test('every reference leads to a component, and every payload of the topology is one', async (t) => {
  for (const [, name = ''] of text.matchAll(/#\/components\/schemas\/([^"]+)/g))
    t.ok(name in document.components.schemas, name)
  t.ok('OrderCreated' in document.components.schemas)
})

t.test('nothing is used that OpenAPI 3.0.3 or a popular generator does not know', async (t) => {
  t.equal(document.openapi, '3.0.3')
  const banned = new Set([
    'const',
    'patternProperties',
    'prefixItems',
    'if',
    'unevaluatedProperties',
    'nullable',
    'oneOf',
    'anyOf',
    'allOf',
    '$id'
  ])
  const visit = (node: unknown, at: string): void => {
    if (typeof node !== 'object' || node === null) return
    for (const [name, value] of Object.entries(node)) {
      if (!at.endsWith('/properties')) t.equal(banned.has(name), false, `${at}/${name}`)
      if (name === '$ref') t.equal(Object.keys(node).length, 1, `${at} has siblings`)
      visit(value, `${at}/${name}`)
    }
  }
  visit(document, '')
  t.equal(/^\s*tags: [&*]/m.test(text), false, 'no YAML anchors')
})
