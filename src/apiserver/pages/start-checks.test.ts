import assert from 'node:assert/strict'
import { test } from 'node:test'
import { send, testServer } from '../server.testing.ts'

test('what is done once after the start is part of each page of health, and stays done', async () => {
  let there = false
  const { server } = await testServer({ startChecks: { 'rbac/bootstrap-roles': () => there } })
  const page = (name: string) => send(server, `GET /${name}?verbose`)
  for (const name of ['healthz', 'livez', 'readyz']) {
    const { status, text } = await page(name)
    assert.equal(status, 500)
    assert.match(text, /^\[-\]poststarthook\/rbac\/bootstrap-roles failed: reason withheld$/m)
    assert.match(text, /^\[\+\]poststarthook\/crd-informer-synced ok$/m)
    assert.match(text, /^\[\+\]autoregister-completion ok$/m)
  }
  there = true
  assert.equal((await page('readyz')).status, 200)
  there = false
  assert.equal((await page('readyz')).status, 200)
})
