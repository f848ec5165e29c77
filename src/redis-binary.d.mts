export interface RedisBinary {
  file: string
  name: string
  version: string
}
export const oldestRedis: { name: string; command: string; version: string }[]
export function findRedis(
  path?: string
): ({ status: 'found' } & RedisBinary) | ({ status: 'too-old' } & RedisBinary) | { status: 'missing' }
export function tooOld(redis: RedisBinary): string
