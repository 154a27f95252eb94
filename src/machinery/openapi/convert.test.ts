import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openApiV2ToV3 } from './convert.ts'

test('bodies, answers and parameters of v2 are where v3 has them', () => {
  const toy = { $ref: '#/definitions/Toy' }
  const document = openApiV2ToV3(
    {
      consumes: ['application/json'],
      paths: {
        '/toys/{name}': {
          parameters: [
            { name: 'name', in: 'path', required: true, type: 'string', uniqueItems: true },
          ],
          put: {
            operationId: 'replaceToy',
            consumes: ['*/*'],
            produces: ['application/json', 'application/yaml'],
            schemes: ['https'],
            parameters: [
              { name: 'body', in: 'body', required: true, schema: toy },
              {
                name: 'tags',
                in: 'query',
                type: 'array',
                items: { type: 'string' },
                collectionFormat: 'multi',
              },
            ],
            responses: { 200: { description: 'OK', schema: toy }, 401: { description: 'No' } },
            'x-kubernetes-action': 'put',
          },
          delete: { parameters: [{ in: 'body', name: 'b', schema: toy }], responses: {} },
        },
      },
      definitions: {
        Toy: { type: 'object', properties: { parts: { type: 'array', items: toy } } },
      },
    },
    { title: 'Toys', version: 'v1' },
  )
  const schema = { $ref: '#/components/schemas/Toy' }
  assert.deepEqual(document, {
    openapi: '3.0.0',
    info: { title: 'Toys', version: 'v1' },
    paths: {
      '/toys/{name}': {
        parameters: [
          {
            name: 'name',
            in: 'path',
            required: true,
            schema: { type: 'string', uniqueItems: true },
          },
        ],
        put: {
          operationId: 'replaceToy',
          'x-kubernetes-action': 'put',
          parameters: [
            {
              name: 'tags',
              in: 'query',
              explode: true,
              schema: { type: 'array', items: { type: 'string' } },
            },
          ],
          requestBody: { required: true, content: { '*/*': { schema } } },
          responses: {
            200: {
              description: 'OK',
              content: { 'application/json': { schema }, 'application/yaml': { schema } },
            },
            401: { description: 'No' },
          },
        },
        delete: { requestBody: { content: { 'application/json': { schema } } }, responses: {} },
      },
    },
    components: {
      schemas: { Toy: { type: 'object', properties: { parts: { type: 'array', items: schema } } } },
    },
  })
})
