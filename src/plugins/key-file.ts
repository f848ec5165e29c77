/**
 * A file that is read again whenever it changes.
 */
import { watch } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { FastifyBaseLogger } from 'fastify'

export interface WatchedFile {
  file: string
  /** Takes a new text into use, or throws; the text before stays in use then. */
  use: (text: string) => void
  log: FastifyBaseLogger
  /** How often the file is read even if nothing seems to have happened: not every file system tells. */
  recheckMs?: number
}

/** A file is often written in several steps; this much after the last one it is read. */
const SETTLE_MS = 50
const RECHECK_MS = 10_000

/**
 * Reads the file and uses it; rejects if that fails. Then watches its folder, not the file itself: editors and Kubernetes
 * put another file or link in its place. A text that cannot be used is logged once. Returns what ends the watch.
 */
export async function watchFile({ file, use, log, recheckMs = RECHECK_MS }: WatchedFile): Promise<() => void> {
  let last = await readFile(file, 'utf8')
  use(last)
  let said = ''
  const failed = (err: Error) => {
    if (err.message === said) return
    said = err.message
    log.error({ err, file }, 'The changed file cannot be used: what it held before stays in force')
  }
  const read = async () => {
    try {
      const text = await readFile(file, 'utf8')
      if (text === last) return
      last = text
      use(text)
      said = ''
      log.info({ file }, 'The changed file is in force')
    } catch (err) {
      failed(err as Error)
    }
  }
  const recheck = setInterval(read, recheckMs)
  let settled: NodeJS.Timeout | undefined
  const changed = () => {
    clearTimeout(settled)
    settled = setTimeout(read, SETTLE_MS)
  }
  const watcher = startWatch(dirname(file), changed, log)
  return () => {
    watcher?.close()
    clearInterval(recheck)
    clearTimeout(settled)
  }
}

function startWatch(folder: string, changed: () => void, log: FastifyBaseLogger) {
  const unwatched = (err: Error) => log.warn({ err, folder }, 'The folder cannot be watched: changes are seen later')
  try {
    const watcher = watch(folder, changed)
    watcher.on('error', (err) => {
      unwatched(err)
      watcher.close()
    })
    return watcher
  } catch (err) {
    unwatched(err as Error)
    return undefined
  }
}
