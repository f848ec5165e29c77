/**
 * The schemas of the topology in the dialect of OpenAPI 3.0.3, as named components. Pure.
 */
type Schema = Record<string, unknown>

/** Collects components; objects inside a schema become components of their own, since generators name types by them. */
export interface Components {
  /** Adds a schema with everything inside it and returns the name it got. */
  add: (name: string, schema: object) => string
  /** All of them, each with its name as `$id`. */
  all: () => (Schema & { $id: string })[]
}

/** `orders.order.created` is `OrdersOrderCreated`. */
export function payloadName(type: string): string {
  return type
    .split(/[^A-Za-z0-9]+/)
    .map(capitalized)
    .join('')
}

/** `taken` are names that the API itself uses: a payload of the same name gets a number. */
export function createComponents(taken: Iterable<string>): Components {
  const known = new Map<string, { text: string; schema: Schema }>()
  for (const name of taken) known.set(name, { text: '', schema: {} })
  const reserved = known.size

  function add(wanted: string, schema: object): string {
    const converted = converted3(schema, wanted)
    const text = JSON.stringify(converted)
    for (let n = 1; ; n += 1) {
      const name = n === 1 ? wanted : `${wanted}${n}`
      const other = known.get(name)
      if (other === undefined) known.set(name, { text, schema: converted })
      if (other === undefined || other.text === text) return name
    }
  }

  /** A schema inside another one: an object is referred to by name. */
  function inner(schema: object, name: string): Schema {
    const { $id, type } = schema as Schema
    return type === 'object' ? { $ref: add(typeof $id === 'string' ? $id : name, schema) } : converted3(schema, name)
  }

  function converted3(schema: object, name: string): Schema {
    const { $id, $schema, const: literal, exclusiveMinimum, exclusiveMaximum, ...rest } = schema as Schema
    const out: Schema = {}
    for (const [keyword, value] of Object.entries(rest)) out[keyword] = convertedValue(keyword, value, name)
    if (literal !== undefined) out.enum = [literal]
    if (typeof exclusiveMinimum === 'number') Object.assign(out, { minimum: exclusiveMinimum, exclusiveMinimum: true })
    if (typeof exclusiveMaximum === 'number') Object.assign(out, { maximum: exclusiveMaximum, exclusiveMaximum: true })
    return enumFromLiterals(out)
  }

  function convertedValue(keyword: string, value: unknown, name: string): unknown {
    if (keyword === 'properties') {
      const properties = Object.entries(value as Record<string, object>)
      return Object.fromEntries(
        properties.map(([property, schema]) => [property, inner(schema, name + capitalized(property))])
      )
    }
    if (keyword === 'items' && isSchema(value)) return inner(value, `${name}Item`)
    if (keyword === 'additionalProperties' && isSchema(value)) return inner(value, `${name}Value`)
    if (keyword === 'anyOf' || keyword === 'oneOf' || keyword === 'allOf') {
      return (value as object[]).map((option, index) => inner(option, `${name}Option${index + 1}`))
    }
    return value
  }

  return {
    add,
    all: () => Array.from(known, ([$id, { schema }]) => ({ ...schema, $id })).slice(reserved)
  }
}

/** A union of literals of one type is one enum: generators make a plain type of it. */
function enumFromLiterals(schema: Schema): Schema {
  const { anyOf, ...rest } = schema
  if (!Array.isArray(anyOf)) return schema
  const [first] = anyOf as Schema[]
  const isLiterals = anyOf.every((option: Schema) => Array.isArray(option.enum) && option.type === first?.type)
  return isLiterals ? { ...rest, type: first?.type, enum: anyOf.flatMap((option: Schema) => option.enum) } : schema
}

function isSchema(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function capitalized(part: string): string {
  return part.charAt(0).toUpperCase() + part.slice(1)
}
