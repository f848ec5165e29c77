import fp from 'fastify-plugin'

/**
 * Closing waits for open requests. Fastify closes the idle connections at that moment and tells later requests to
 * close theirs; a connection whose request was open then would be kept for the whole keep-alive time, so that is cut.
 */
export const drain = fp(
  async (app) => {
    app.addHook('preClose', async () => {
      app.server.keepAliveTimeout = 1
      app.server.keepAliveTimeoutBuffer = 0
    })
  },
  { name: 'drain', fastify: '5.x' }
)
