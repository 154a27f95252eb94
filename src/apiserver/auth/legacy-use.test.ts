import assert from 'node:assert/strict'
import { test } from 'node:test'
import { secrets, serviceAccounts } from '#api'
import { virtualEnv } from '#base'
import type { ApiRequest, Transport } from '#client'
import { newKey, keyPem } from '../certificates/index.ts'
import { noteUse } from './legacy-use.ts'
import { testReader } from './reader.testing.ts'
import { serviceAccountTokens, signLegacyToken, tokenSigner } from './service-account-tokens.ts'

const LAST_USED = 'kubernetes.io/legacy-token-last-used'

async function tokenOfSecret() {
  const env = virtualEnv()
  const read = testReader()
  const key = keyPem(newKey(env.random))
  const account = read.put(serviceAccounts, {
    metadata: { name: 'ci', namespace: 'shop', uid: 'u1' },
  })
  const text = await signLegacyToken(tokenSigner(key), account, 's')
  const put = (labels: Readonly<Record<string, string>>) =>
    read.put(secrets, {
      metadata: { name: 's', namespace: 'shop', uid: 's1', labels },
      data: { token: Buffer.from(text).toString('base64') },
    })
  put({})
  const sent: ApiRequest[] = []
  const request = async (asked: ApiRequest): Promise<unknown> => {
    sent.push(asked)
    return put((asked.body as { metadata: { labels: Record<string, string> } }).metadata.labels)
  }
  const transport = { request } as unknown as Transport
  const tokens = serviceAccountTokens({
    read,
    clock: env.clock,
    keys: [key],
    noteUse: noteUse(() => transport, env),
  })
  return { env, put, sent, use: () => tokens.authenticateToken(text) }
}

test('a Secret says on which day its token was last used, and is written once a day', async () => {
  const { env, sent, use } = await tokenOfSecret()
  await use()
  await use()
  const today = env.clock.now().toISOString().slice(0, 10)
  assert.deepEqual(
    sent.map(({ path, body }) => [path, body]),
    [
      [
        '/api/v1/namespaces/shop/secrets/s',
        { metadata: { uid: 's1', labels: { [LAST_USED]: today } } },
      ],
    ],
  )
  await env.advance(24 * 3600 * 1000)
  await use()
  assert.equal(sent.length, 2)
})

test('a token whose Secret is marked as invalid is refused, and good again without the mark', async () => {
  const { put, use } = await tokenOfSecret()
  put({ 'kubernetes.io/legacy-token-invalid-since': '2026-01-01' })
  await assert.rejects(use(), { code: 401 })
  put({})
  assert.equal((await use())?.user.name, 'system:serviceaccount:shop:ci')
})
