/**
 * What the log says of an error: what is listed here and nothing else. Errors carry what they were about: ioredis the
 * arguments of the command (events, the password of AUTH), HTTP clients the headers they sent.
 */
export interface ErrorFields {
  type: string
  message: string
  stack?: string
  code?: unknown
  syscall?: unknown
  address?: unknown
  port?: unknown
  /** Name of the Redis command that failed. */
  command?: unknown
  cause?: ErrorFields
  errors?: ErrorFields[]
}

/** Causes of causes, and errors of an AggregateError. */
const MAX_DEPTH = 3
const MAX_ERRORS = 5

/** The log's serializer for `err`. Of something thrown that is no Error only the kind is told. */
export function errorFields(error: unknown, depth = 0): ErrorFields {
  if (!(error instanceof Error)) return { type: typeof error, message: 'something that is no Error was thrown' }
  const { name, message, stack, cause } = error
  const { code, syscall, address, port, command, errors } = error as unknown as Record<string, unknown>
  const { name: commandName } = (command ?? {}) as { name?: unknown }
  const fields: ErrorFields = { type: name, message, stack, code, syscall, address, port, command: commandName }
  if (depth >= MAX_DEPTH) return fields
  if (cause instanceof Error) fields.cause = errorFields(cause, depth + 1)
  if (Array.isArray(errors)) fields.errors = errors.slice(0, MAX_ERRORS).map((part) => errorFields(part, depth + 1))
  return fields
}
