import assert from 'node:assert/strict'
import { get } from 'node:http'
import { test } from 'node:test'
import { serveHealthz } from './healthz.ts'

test('health is told without asking who asks, and nothing else is', async (t) => {
  const server = await serveHealthz({
    host: '127.0.0.1',
    port: 0,
    nodeApi: {
      page: async (path) => ({ status: 200, contentType: 'text/plain', body: Buffer.from(path) }),
    },
  })
  t.after(() => server.close())
  const ask = (path: string) =>
    new Promise<readonly [number | undefined, string]>((resolve, reject) => {
      get({ host: '127.0.0.1', port: server.port, path, agent: false }, (response) => {
        let text = ''
        response.on('data', (chunk: Buffer) => (text += chunk.toString()))
        response.on('end', () => resolve([response.statusCode, text]))
      }).on('error', reject)
    })
  assert.deepEqual(await ask('/healthz'), [200, '/healthz'])
  assert.deepEqual(await ask('/healthz/syncloop'), [200, '/healthz/syncloop'])
  assert.deepEqual(await ask('/pods'), [404, '404 page not found\n'])
  await assert.rejects(
    serveHealthz({
      host: '127.0.0.1',
      port: server.port,
      nodeApi: { page: async () => undefined },
    }),
    /EADDRINUSE/,
  )
})
