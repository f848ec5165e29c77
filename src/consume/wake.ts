/** A loop that has nothing to do waits here until something changes. */
export class Wake {
  #pending = false
  #resolve?: () => void

  /** Ends the present wait, or the next one if nobody waits. */
  notify(): void {
    this.#pending = true
    this.#resolve?.()
  }

  /** Resolves at the next `notify`, at once if there was one since the last wait, or after `timeoutMs`. */
  async wait(timeoutMs?: number): Promise<void> {
    if (!this.#pending) {
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>((resolve) => {
        this.#resolve = resolve
        if (timeoutMs !== undefined) timer = setTimeout(resolve, timeoutMs)
      })
      clearTimeout(timer)
      this.#resolve = undefined
    }
    this.#pending = false
  }
}
