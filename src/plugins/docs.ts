/**
 * GET /docs: the API reference as a page, made from the gateway's own description. It loads nothing from anywhere else and
 * works over plain HTTP, by whatever address the gateway is reached. Helmet costs as much as a route does, so it is here
 * alone.
 */
import helmet, { type FastifyHelmetOptions } from '@fastify/helmet'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import { ProblemError } from '../errors.ts'

const security: FastifyHelmetOptions = {
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'"],
      styleSrc: ["'self'"],
      imgSrc: ["'self'", 'data:'],
      connectSrc: ["'self'"],
      baseUri: ["'none'"],
      formAction: ["'none'"],
      frameAncestors: ["'none'"]
    }
  },
  // Browsers would ask for the gateway by HTTPS from then on; that is for the proxy that ends TLS to say.
  strictTransportSecurity: false,
  // Both mean nothing over plain HTTP, and browsers warn that they do.
  crossOriginOpenerPolicy: false,
  originAgentCluster: false
}

/** The page and what it loads. Swagger UI would serve more, such as YAML that is made anew for everybody who asks. */
const shown = /^\/docs(\/|\/json|\/static\/[a-z0-9-]+\.(css|js|png))?(\?.*)?$/

/** Needs `app.swagger()`. Its routes answer anybody, but cannot say so when they are made: register it before the API keys. */
export async function docs(app: FastifyInstance): Promise<void> {
  await app.register(helmet, security)
  app.addHook('onRoute', (route) => {
    route.config = { ...route.config, public: true }
  })
  app.addHook('onRequest', async ({ url }) => {
    if (!shown.test(url)) throw new ProblemError('route-not-found')
  })
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    theme: { title: 'Headgate: API reference' },
    uiConfig: { layout: 'BaseLayout', docExpansion: 'list', defaultModelsExpandDepth: 0, tryItOutEnabled: true },
    // "Try it out" asks the gateway the page came from.
    transformSpecification: (document) => ({ ...document, servers: [{ url: '..', description: 'this gateway' }] }),
    transformSpecificationClone: false
  })
}
