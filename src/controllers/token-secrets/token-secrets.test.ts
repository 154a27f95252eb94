import assert from 'node:assert/strict'
import { test } from 'node:test'
import { secrets, serviceAccounts } from '#api'
import { world } from '../testing/world.ts'
import { tokenSecretController } from './index.ts'

const text = (value: string | undefined): string => Buffer.from(value ?? '', 'base64').toString()

test('a token Secret gets its token, keeps it, and goes with its account', async () => {
  const w = await world([
    tokenSecretController({
      rootCertificate: 'the authority',
      sign: async ({ metadata }, secret) => `token of ${metadata.name} in ${secret}`,
    }),
  ])
  const key = { name: 'robot-token', namespace: 'shop' }
  await w.client.create(serviceAccounts, { metadata: { name: 'robot', namespace: 'shop' } })
  await w.client.create(secrets, {
    metadata: { ...key, annotations: { 'kubernetes.io/service-account.name': 'robot' } },
    type: 'kubernetes.io/service-account-token',
  })
  await w.env.advance(1000)
  const made = w.store.get(secrets, key)
  assert.equal(text(made?.data?.['token']), 'token of robot in robot-token')
  assert.equal(text(made?.data?.['namespace']), 'shop')
  assert.equal(text(made?.data?.['ca.crt']), 'the authority')
  assert.ok(made?.metadata.annotations?.['kubernetes.io/service-account.uid'])

  await w.client.delete(serviceAccounts, { name: 'robot', namespace: 'shop' })
  await w.env.advance(1000)
  assert.equal(w.store.get(secrets, key), undefined)
  w.stop()
})
