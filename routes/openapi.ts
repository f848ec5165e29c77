import type { FastifyPluginAsync } from 'fastify'

/** GET /openapi.json: the description of all of this. */
export const openapiDocument: FastifyPluginAsync = async (app) => {
  let text: string | undefined

  app.get('/openapi.json', { config: { public: true }, schema: { hide: true } }, (_request, reply) => {
    text ??= JSON.stringify(app.swagger())
    return reply.type('application/json; charset=utf-8').send(text)
  })
}
