/**
 * Node ends every request that has not arrived whole after a fixed time, whatever it is. A body that may be of any size
 * is held to another rule, so its connection is entered here while it lasts.
 */
import type { Socket } from 'node:net'

const unhurried = new WeakSet<Socket>()

/** Node's time for a whole request does not apply to this connection until the returned function is called. */
export function takesItsTime(socket: Socket): () => void {
  unhurried.add(socket)
  return () => void unhurried.delete(socket)
}

export function mayTakeItsTime(socket: Socket): boolean {
  return unhurried.has(socket)
}
