/**
 * One gateway per data directory. The lock is a file naming a process by pid and start time, so that a pid that was
 * given to another process since does not count. A process that died by SIGKILL leaves the file; the next one sees that
 * nobody holds it any more.
 */
import { execFileSync } from 'node:child_process'
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'

/** A process that cannot be mistaken for a later one with the same pid. */
export interface ProcessIdentity {
  pid: number
  /** Opaque; equal for the same process only. */
  startedAt: string
}

/** The identity of a running process, or null: no such process, or one that has ended and only waits to be collected. */
export function identify(pid: number): ProcessIdentity | null {
  const startedAt = process.platform === 'linux' ? startedAtLinux(pid) : startedAtElsewhere(pid)
  return startedAt === null ? null : { pid, startedAt }
}

/** Reads `file` as the identity of a process; null when there is none, or that process has ended. */
export function liveProcess(file: string): ProcessIdentity | null {
  let noted: Partial<ProcessIdentity>
  try {
    noted = JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return null
  }
  const live = typeof noted.pid === 'number' ? identify(noted.pid) : null
  return live !== null && live.startedAt === noted.startedAt ? live : null
}

/** Writes down which process `pid` is, for `liveProcess` to read after a restart of this one. */
export function noteProcess(file: string, pid: number): void {
  writeFileSync(file, JSON.stringify(identify(pid)), { mode: 0o600 })
}

/**
 * Takes the lock for this process, or returns who holds it. Atomic between processes: the file appears with its content
 * by link(2), and a stale one leaves by rename(2), which only one contender wins. Known gap: a third process that starts
 * between the two steps of putting back a lock that turned out to be fresh; it needs three starts within microseconds.
 */
export function takeLock(file: string): { status: 'taken'; release: () => void } | { status: 'held'; pid: number } {
  const own = `${file}.${process.pid}`
  noteProcess(own, process.pid)
  try {
    for (;;) {
      if (linked(own, file)) return { status: 'taken', release: () => release(file) }
      const holder = liveProcess(file)
      if (holder !== null) return { status: 'held', pid: holder.pid }
      removeStale(file)
    }
  } finally {
    rmSync(own, { force: true })
  }
}

function release(file: string): void {
  if (liveProcess(file)?.pid === process.pid) rmSync(file, { force: true })
}

function removeStale(file: string): void {
  const aside = `${file}.${process.pid}.stale`
  try {
    renameSync(file, aside)
  } catch (error) {
    if (isCode(error, 'ENOENT')) return
    throw error
  }
  if (liveProcess(aside) !== null) linked(aside, file)
  rmSync(aside, { force: true })
}

function linked(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if (isCode(error, 'EEXIST')) return false
    throw error
  }
}

/** Fields 3 (state) and 22 (start time in clock ticks since boot) of /proc/<pid>/stat; the name before them may hold anything. */
function startedAtLinux(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? null)
  } catch {
    return null
  }
}

function startedAtElsewhere(pid: number): string | null {
  try {
    const line = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim()
    const [, state = '', started = ''] = /^(\S+)\s+(.+)$/.exec(line) ?? []
    return started === '' || state.startsWith('Z') ? null : started
  } catch {
    return null
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
