import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { ProblemKinds } from '../schemas/problem.ts'
import { problems } from '../src/errors.ts'

/** GET /problems: what the `type` of a problem points to. */
export const problemKinds: FastifyPluginAsyncTypebox = async (app) => {
  const items = Object.entries(problems).map(([code, kind]) => ({ code, ...kind }))

  app.get(
    '/problems',
    {
      config: { public: true },
      schema: {
        tags: ['problems'],
        operationId: 'listProblems',
        summary: 'What each problem code means',
        security: [],
        response: { 200: Type.Unsafe<ProblemKinds>(Type.Ref('ProblemKinds')) }
      }
    },
    () => ({ items })
  )
}
