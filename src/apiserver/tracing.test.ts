import assert from 'node:assert/strict'
import { test } from 'node:test'
import { definitions, typeTable } from '#api'
import { virtualEnv, type Span, type SpanOptions } from '#base'
import { createMemoryStorage } from '#storage'
import { createApiServer } from './create-server.ts'
import { send } from './server.testing.ts'

const THEIRS = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`

/** What the span of a request of such a user begins with. */
async function startedFor(groups: readonly string[]): Promise<readonly SpanOptions[]> {
  const started: SpanOptions[] = []
  const span: Span = {
    traceparent: `00-${'c'.repeat(32)}-${'d'.repeat(16)}-01`,
    child: () => span,
    set: () => undefined,
    end: () => undefined,
  }
  const env = {
    ...virtualEnv(),
    tracing: {
      start: (_: string, options: SpanOptions) => {
        if (options.kind === 'server') started.push(options)
        return span
      },
      wrote: () => undefined,
      writerOf: () => undefined,
    },
  }
  const server = createApiServer({
    env,
    definitions,
    types: typeTable,
    storage: createMemoryStorage(env),
    freeze: true,
    extend: () => ({
      authenticator: { authenticate: async () => ({ user: { name: 'jane', groups } }) },
      authorizer: { authorize: async () => ({ verdict: 'allow', reason: '' }) },
      admission: [],
    }),
  })
  await server.ready
  started.length = 0
  const { status } = await send(server, 'GET /version', undefined, { traceparent: THEIRS })
  assert.equal(status, 200)
  return started
}

test('only the privileged say which trace their requests belong to', async () => {
  for (const group of ['system:masters', 'system:monitoring']) {
    const [options] = await startedFor(['system:authenticated', group])
    assert.deepEqual([options?.parent, options?.link], [THEIRS, undefined])
  }
  const [options] = await startedFor(['system:authenticated'])
  assert.deepEqual([options?.parent, options?.link], [undefined, THEIRS])
})
