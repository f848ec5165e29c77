import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'

const run = promisify(execFile)

/** Prints whether the optimized code of nextTick outlives full garbage collections that find nothing queued. */
const program = `
  import { setImmediate as turn } from 'node:timers/promises'
  const status = () => %GetOptimizationStatus(process.nextTick)
  const call = (times) => new Promise((resolve) => {
    const again = () => {
      times -= 1
      if (times > 0) process.nextTick(again)
      else resolve()
    }
    process.nextTick(again)
  })
  if (process.argv[1] !== 'nothing') (await import(process.argv[1])).keepTickObject()
  const unoptimized = status()
  while (status() === unoptimized) await call(10_000)
  const optimized = status()
  for (let n = 0; n < 20; n += 1) {
    await turn()
    gc()
  }
  console.log(status() === optimized)
`

async function outlives(module: string): Promise<string> {
  const flags = ['--expose-gc', '--allow-natives-syntax', '--input-type=module']
  const { stdout } = await run(process.execPath, [...flags, '--eval', program, module], { timeout: 30_000 })
  return stdout.trim()
}

t.test('optimized code of nextTick outlives garbage collections', async (t) => {
  t.equal(await outlives(new URL('../src/tick-object.ts', import.meta.url).href), 'true')
  t.equal(await outlives('nothing'), 'false', 'Node needs no help any more')
})
