import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import { keepCertificates } from './certificates.ts'
import { isUsable, isValid, renewalTime } from './credentials.ts'

const DAY_MS = 24 * 3600 * 1000

test('certificates are made anew while the cluster runs, and whoever uses them is told', async () => {
  const env = virtualEnv()
  const stop = new AbortController()
  const kept = await keepCertificates(env, '/pki', {}, stop.signal)
  const first = kept.current()
  const told: string[] = []
  kept.onChange(({ server }) => void told.push(server.certificate))
  await env.advance(first.renewAt.getTime() - env.clock.now().getTime() - DAY_MS)
  assert.deepEqual(told, [])
  await env.advance(2 * DAY_MS)
  // Signing is not done in virtual time.
  while (told.length === 0) await new Promise(setImmediate)
  const second = kept.current()
  assert.deepEqual(told, [second.server.certificate])
  assert.notEqual(second.server.certificate, first.server.certificate)
  assert.equal(second.authority.certificate, first.authority.certificate)
  const ends = (certificate: string): Date => new X509Certificate(certificate).validToDate
  assert.ok(ends(second.server.certificate) > ends(first.server.certificate))
  stop.abort()
})

test('a server that is to be reached at one more address gets a certificate for it', async () => {
  const env = virtualEnv()
  const stop = new AbortController()
  const kept = await keepCertificates(env, '/pki', { ips: ['10.0.0.1'] }, stop.signal)
  await kept.cover('172.30.0.1')
  const certificate = new X509Certificate(kept.current().server.certificate)
  assert.ok(certificate.checkIP('172.30.0.1') && certificate.checkIP('10.0.0.1'))
  stop.abort()
})

test("a node's certificate is due when a quarter of its life is left, and accepted until its end", async () => {
  const env = virtualEnv()
  const stop = new AbortController()
  const pki = (await keepCertificates(env, '/pki', {}, stop.signal)).current()
  stop.abort()
  const subject = { commonName: 'system:node:n1', organizations: ['system:nodes'] }
  const made = await pki.issue({ subject, usages: ['client'], seconds: 100 * 24 * 3600 })
  const wanted = { commonName: 'system:node:n1', authority: pki.authority }
  const after = (days: number): Date => new Date(env.clock.now().getTime() + days * DAY_MS)
  const due = (renewalTime(made.certificate).getTime() - env.clock.now().getTime()) / DAY_MS
  assert.ok(Math.abs(due - 75) < 0.1, `${due} days`)
  assert.deepEqual(
    [0, 74, 76, 101].map((days) => isUsable(made, wanted, after(days))),
    [true, true, false, false],
  )
  assert.deepEqual(
    [0, 76, 101].map((days) => isValid(made, wanted, after(days))),
    [true, true, false],
  )
  assert.equal(isUsable(made, { commonName: 'system:node:n2' }, after(0)), false)
  assert.equal(isUsable({ ...made, key: pki.admin.key }, wanted, after(0)), false)
  assert.equal(isUsable(made, { ...wanted, authority: pki.frontProxyAuthority }, after(0)), false)
})
