/** npm run keygen -- <name> [scope ...]: prints a new key, once, and the definition to configure. Stores nothing. */
import { createKey, keyDefinition } from '../src/first-run.ts'

const usage =
  'usage: npm run keygen -- <name> [scope ...]   scopes: publish[:pattern] observe read[:pattern] admin[:pattern]'
const [name, ...scopes] = process.argv.slice(2)
const unknown = scopes.find((scope) => !/^(observe|(publish|read|admin)(:\S+)?)$/.test(scope))

if (name === undefined || name.startsWith('-') || unknown !== undefined) {
  if (unknown !== undefined) process.stderr.write(`${unknown} is not a scope\n`)
  process.stderr.write(`${usage}\n`)
  process.exit(1)
}

const key = createKey()
const definition = keyDefinition(name, key, scopes.length > 0 ? scopes : ['publish'])

process.stdout.write(`Key, for the client; it is not shown again:

  ${key}

One entry of API_KEYS, for the gateway:

  ${JSON.stringify(definition)}
`)
