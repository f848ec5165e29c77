/**
 * The OpenAPI description, made from the routes and schemas. It keeps to 3.0.3 and to the subset that client generators
 * agree on: every body and answer is a named component, and each operation has one request content type.
 */
import swagger from '@fastify/swagger'
import fp from 'fastify-plugin'
import * as audit from '../../schemas/audit.ts'
import * as consumer from '../../schemas/consumer.ts'
import * as deadLetter from '../../schemas/dead-letter.ts'
import * as entry from '../../schemas/entry.ts'
import * as event from '../../schemas/event.ts'
import * as eventType from '../../schemas/event-type.ts'
import * as group from '../../schemas/group.ts'
import * as health from '../../schemas/health.ts'
import * as lag from '../../schemas/lag.ts'
import * as pending from '../../schemas/pending.ts'
import * as problem from '../../schemas/problem.ts'
import * as rebuild from '../../schemas/rebuild.ts'
import * as replay from '../../schemas/replay.ts'
import * as stream from '../../schemas/stream.ts'
import type { Topology } from '../topology.ts'
import { createComponents, payloadName } from './openapi-schema.ts'

export interface OpenApiOptions {
  topology: Topology
  version: string
}

export const openapi = fp<OpenApiOptions>(
  async (app, { topology, version }) => {
    const modules = [
      audit,
      consumer,
      deadLetter,
      entry,
      event,
      eventType,
      group,
      health,
      lag,
      pending,
      problem,
      rebuild,
      replay,
      stream
    ]
    const own = modules.flatMap((module) => Object.values(module).filter(hasId))
    const payloads = createComponents(own.map(({ $id }) => $id))
    for (const { types } of topology.streams.values()) {
      for (const [type, schema] of types) {
        payloads.add(hasId(schema) ? schema.$id : payloadName(type), {
          ...schema,
          description: descriptionOf(schema, type)
        })
      }
    }
    for (const schema of [...own, ...payloads.all()]) app.addSchema(schema)
    await app.register(swagger, {
      openapi: {
        openapi: '3.0.3',
        info: {
          title: 'Headgate',
          version,
          description: 'An HTTP event gateway over Redis Streams. A 2xx means stored.',
          license: { name: 'Apache-2.0' }
        },
        servers: [{ url: 'http://127.0.0.1:3000' }],
        tags: [
          { name: 'events', description: 'Send events.' },
          { name: 'types', description: 'What can be sent.' },
          { name: 'streams', description: 'Look at what is stored.' },
          { name: 'groups', description: 'Look at who reads it.' },
          { name: 'dead-letters', description: 'Look at what failed, and run it again.' },
          { name: 'audit', description: 'Look at what operators did.' },
          { name: 'problems', description: 'Why a request was refused.' },
          { name: 'health', description: 'Is the gateway well?' }
        ],
        components: { securitySchemes: { apiKey: { type: 'http', scheme: 'bearer' } } },
        security: [{ apiKey: [] }]
      },
      refResolver: { buildLocalReference: (json) => String(json.$id) }
    })
  },
  { name: 'openapi', fastify: '5.x' }
)

function hasId(value: unknown): value is { $id: string } {
  return typeof value === 'object' && value !== null && '$id' in value && typeof value.$id === 'string'
}

function descriptionOf(schema: { description?: string }, type: string): string {
  const text = schema.description
  return text === undefined ? `The data of ${type}.` : `${text} The data of ${type}.`
}
