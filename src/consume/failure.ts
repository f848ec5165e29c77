/**
 * The failure history of an event: the first five failures, the last five, and the total, as JSON of at most 4 KiB, so
 * that a thousand retries cost no more memory than ten.
 */
import { type FailureHistory, type FailureRecord, failureHistory } from '../streams/dead-letters.ts'

const KEPT = 5
const MAX_BYTES = 4_096
const MAX_MESSAGE = 300
const MAX_FINGERPRINT = 200
/**
 * What stacks and messages are cut to, step by step, until the history fits. The last step does whatever the alphabet:
 * ten records of 60 + 30 characters at three bytes each, or at six where JSON escapes them, are below 4,096.
 */
const STACK_LENGTHS = [600, 300, 120, 0]
const MESSAGE_LENGTHS = [MAX_MESSAGE, 100, 20]
const MAX_NAME = 30

/**
 * The history with one more failure, as JSON text. `at` is Redis milliseconds; `before` what this returned last. What a
 * newer Headgate has written stays as it is.
 */
export function recordFailure(before: string | undefined, error: unknown, at: number): string {
  const history = before ? failureHistory(before) : { total: 0, first: [], last: [] }
  if (history === undefined) return before ?? ''
  const record = failureRecord(error, at)
  const first = history.first.length < KEPT ? [...history.first, record] : history.first
  const last = history.first.length < KEPT ? [] : [...history.last, record].slice(-KEPT)
  return fitted({ total: history.total + 1, first, last })
}

/** What failures have in common: name, message and top frame without ids and digits. */
export function fingerprintOf(error: unknown): string {
  const { name, message, stack } = failureRecord(error, 0)
  const frame = stack?.split('\n').find((line) => line.trimStart().startsWith('at ')) ?? ''
  // Line numbers move with every release, directories with every installation; the function and its file do not.
  const where = frame.trim().replace(/\(?(?:[^\s()]*\/)?([^\s()/]+?)(?::\d+)*\)?$/, '$1')
  return cut(`${name}: ${message.replace(/[\w-]*\d[\w-]*/g, '*')} ${where}`.trim(), MAX_FINGERPRINT)
}

function failureRecord(error: unknown, at: number): FailureRecord {
  if (!(error instanceof Error)) return { at, name: 'Error', message: cut(describe(error), MAX_MESSAGE) }
  const stack = typeof error.stack === 'string' ? cut(error.stack, STACK_LENGTHS[0] as number) : undefined
  return { at, name: cut(String(error.name), MAX_NAME), message: cut(String(error.message), MAX_MESSAGE), stack }
}

function describe(thrown: unknown): string {
  try {
    return String(thrown)
  } catch {
    return 'a value that cannot be shown was thrown'
  }
}

function fitted(history: FailureHistory): string {
  let text = ''
  for (const message of MESSAGE_LENGTHS) {
    for (const stack of STACK_LENGTHS) {
      text = JSON.stringify({
        total: history.total,
        first: history.first.map((record) => shortened(record, message, stack)),
        last: history.last.map((record) => shortened(record, message, stack))
      })
      if (Buffer.byteLength(text) <= MAX_BYTES) return text
    }
  }
  return text
}

function shortened(record: FailureRecord, message: number, stack: number): FailureRecord {
  const kept = stack === 0 || record.stack === undefined ? undefined : cut(record.stack, stack)
  return { ...record, message: cut(record.message, message), stack: kept }
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : text.slice(0, length).toWellFormed()
}
