import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import { serviceAccountTokens, tokenSigner } from '../auth/service-account-tokens.ts'
import { ensureAuthorities } from './pki.ts'
import { forgetRetiredKeys, retiredKeys, rotateServiceAccountKey } from './rotate.ts'

const HOUR_MS = 3600_000

test('a key that is exchanged verifies until its grace is over', async () => {
  const env = virtualEnv()
  const before = await ensureAuthorities(env, '/pki')
  const rotated = await rotateServiceAccountKey(env, '/pki', { graceMs: HOUR_MS })
  const after = await ensureAuthorities(env, '/pki')
  const old = tokenSigner(before.serviceAccountKey).keyId
  assert.notEqual(after.serviceAccountKey, before.serviceAccountKey)
  assert.equal(tokenSigner(after.serviceAccountKey).keyId, rotated?.keyId)
  assert.deepEqual(
    rotated?.retired.map(({ keyId }) => keyId),
    [old],
  )
  assert.equal(after.retiredServiceAccountKeys.length, 1)
  await env.advance(HOUR_MS + 1)
  assert.deepEqual((await ensureAuthorities(env, '/pki')).retiredServiceAccountKeys, [])
})

test('tokens of a retired key are good, and those of a forgotten one are not', async () => {
  const env = virtualEnv()
  const before = await ensureAuthorities(env, '/pki')
  const token = await tokenSigner(before.serviceAccountKey).sign({
    iss: 'https://kubernetes.default.svc.cluster.local',
    sub: 'system:serviceaccount:shop:web',
    aud: ['https://kubernetes.default.svc.cluster.local'],
    exp: env.clock.now().getTime() / 1000 + 600,
    iat: env.clock.now().getTime() / 1000,
    nbf: env.clock.now().getTime() / 1000,
    'kubernetes.io': { namespace: 'shop', serviceaccount: { name: 'web', uid: 'u' } },
  })
  const isGood = async (): Promise<boolean> => {
    const { serviceAccountKey, retiredServiceAccountKeys } = await ensureAuthorities(env, '/pki')
    const tokens = serviceAccountTokens({
      clock: env.clock,
      read: { get: () => ({ metadata: { name: 'web', namespace: 'shop', uid: 'u' } }) as never },
      keys: [serviceAccountKey, ...retiredServiceAccountKeys],
    })
    try {
      return (await tokens.authenticateToken(token)) !== undefined
    } catch {
      return false
    }
  }
  assert.equal(await isGood(), true)
  await rotateServiceAccountKey(env, '/pki', { graceMs: undefined })
  assert.equal(await isGood(), true)
  await rotateServiceAccountKey(env, '/pki', { graceMs: undefined })
  assert.equal(await isGood(), true)
  assert.equal(await forgetRetiredKeys(env, '/pki'), 2)
  assert.equal(await isGood(), false)
})

test('without grace nothing is retired, and an empty folder has nothing to exchange', async () => {
  const env = virtualEnv()
  assert.equal(await rotateServiceAccountKey(env, '/pki', { graceMs: 0 }), undefined)
  await ensureAuthorities(env, '/pki')
  const rotated = await rotateServiceAccountKey(env, '/pki', { graceMs: 0 })
  assert.deepEqual(rotated?.retired, [])
  assert.deepEqual(await retiredKeys(env, '/pki'), [])
})
