import assert from 'node:assert/strict'
import { PassThrough, duplexPair } from 'node:stream'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { spdyAt } from '../http/upgrade.ts'
import { runSession } from './run-session.ts'

const ACCEPTED = [
  'HTTP/1.1 101 Switching Protocols',
  'Connection: Upgrade',
  'Upgrade: SPDY/3.1',
  'X-Stream-Protocol-Version: v4.channel.k8s.io',
  '\r\n',
].join('\r\n')

test('a session whose connection breaks fails once, and nothing of it fails unheard', async () => {
  const [ours, theirs] = duplexPair()
  theirs.once('data', () => {
    theirs.write(ACCEPTED)
    setImmediate(() => ours.destroy(new Error('reset')))
  })
  const streams = { stdout: new PassThrough(), stderr: new PassThrough() }
  const { signal } = new AbortController()
  const net = { connect: async () => ours } as never
  await assert.rejects(
    spdyAt('http://127.0.0.1:1/exec', 'v4.channel.k8s.io', { net }, signal).then((session) =>
      runSession(session, { tty: false }, streams, signal),
    ),
    /reset/,
  )
  await turn()
})
