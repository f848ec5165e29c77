import { readFileSync } from 'node:fs'

const { scripts } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))

/** What `npm start` gives to Node. */
export const startFlags: readonly string[] = scripts.start.split(' ').filter((word: string) => word.startsWith('--'))
