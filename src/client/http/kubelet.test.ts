import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { ensurePki } from '../../apiserver/certificates/index.ts'
import { realEnv, silentLogger, virtualEnv } from '#base'
import { kubeletApi } from './kubelet.ts'

const env = { ...realEnv(), log: silentLogger }
const TARGET = { namespace: 'shop', pod: 'web-0', uid: 'u1' }
const never = new AbortController().signal

/** A kubelet of somebody else: nobody that we know has signed its certificate. */
async function foreign(
  t: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
) {
  const { fs } = virtualEnv()
  const pki = await ensurePki({ ...env, fs }, '/cluster')
  const theirs = await ensurePki({ ...env, fs }, '/theirs')
  const server = createServer(
    {
      cert: theirs.server.certificate,
      key: theirs.server.key,
      ca: pki.authority.certificate,
      requestCert: true,
      rejectUnauthorized: true,
    },
    answer,
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const to = { address: '127.0.0.1', port }
  return { api: kubeletApi({ ...to, tls: pki.kubeletClient }), to, pki, theirs, server }
}

const collect = async (chunks: AsyncIterable<Uint8Array>): Promise<string> =>
  Buffer.concat(await Array.fromAsync(chunks)).toString()

test('a log is asked for as stock API servers do, with the client’s options', async (t) => {
  const { api } = await foreign(t, ({ url, headers }, response) => {
    response.end(`${url} ${headers.host}`)
  })
  const options = { container: 'c', follow: true, tailLines: 3, sinceSeconds: 5, timestamps: true }
  assert.match(
    await collect(await api.logs(TARGET, options, never)),
    /^\/containerLogs\/shop\/web-0\/c\?follow=true&timestamps=true&sinceSeconds=5&tailLines=3 127.0.0.1:/,
  )
})

test('what a kubelet refuses is told in the words that clients know', async (t) => {
  const answers = new Map([
    ['waiting', [400, 'container "waiting" in pod "web-0" is waiting to start: PodInitializing']],
    ['gone', [404, 'pod "web-0" does not exist']],
    ['broken', [500, 'no runtime']],
    ['busy', [503, 'later']],
  ] as const)
  const { api } = await foreign(t, ({ url = '' }, response) => {
    const [code, text] = answers.get(url.split(/[/?]/)[4] as 'gone') ?? [200, '']
    response.writeHead(code).end(text)
  })
  const refused = (container: string) =>
    api.logs(TARGET, { container }, never).then(
      () => assert.fail('it answered'),
      ({ code, message }: Error & { code: number }) => [code, message],
    )
  assert.deepEqual(await refused('waiting'), answers.get('waiting'))
  assert.deepEqual(await refused('gone'), [
    404,
    'the server could not find the requested resource ( pods/log web-0)',
  ])
  assert.deepEqual(await refused('broken'), [500, 'Internal error occurred: no runtime'])
  assert.deepEqual(await refused('busy'), [
    503,
    'an error on the server ("later") has prevented the request from succeeding ( pods/log web-0)',
  ])
  await assert.rejects(
    api.exec(TARGET, { container: 'gone', command: ['ls'], tty: false }, {}, never),
    {
      message: 'Internal error occurred: unable to upgrade connection: pod "web-0" does not exist',
    },
  )
})

test('a kubelet that is not there is told of as Go tells it', async (t) => {
  const { api, to, server } = await foreign(t, () => assert.fail('nobody is asked'))
  await new Promise((resolve) => server.close(resolve))
  const why = `dial tcp 127.0.0.1:${to.port}: connect: connection refused`
  const at = `"https://127.0.0.1:${to.port}`
  await assert.rejects(api.logs(TARGET, { container: 'c' }, never), {
    message: `Get ${at}/containerLogs/shop/web-0/c": ${why}`,
    code: 500,
  })
  await assert.rejects(api.attach(TARGET, { container: 'c', tty: false }, {}, never), {
    message: `Internal error occurred: error sending request: Post ${at}/attach/shop/web-0/c?": ${why}`,
  })
  await assert.rejects(api.connect?.(never) ?? Promise.resolve(), { message: why })
})

test('its certificate is verified when somebody says who signs it', async (t) => {
  const { to, pki, theirs } = await foreign(t, (_request, response) => response.end('ok'))
  const trusting = (authority: string) =>
    kubeletApi({ ...to, tls: { ...pki.kubeletClient, trust: { authority } } }).page('/healthz', '')
  assert.equal((await trusting(theirs.authority.certificate))?.status, 200)
  await assert.rejects(trusting(pki.authority.certificate), /tls: failed to verify certificate/)
})
