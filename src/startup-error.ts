/** The gateway cannot start, and `message` tells its operator in one line why and what to do. No stack is worth showing. */
export class StartupError extends Error {
  override name = 'StartupError'
}
