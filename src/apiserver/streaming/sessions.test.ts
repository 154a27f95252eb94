import assert from 'node:assert/strict'
import { test } from 'node:test'
import { channel, get, talk } from './streaming.testing.ts'

test('a command talks over the channels, and its exit code comes as a Status', async () => {
  const { protocol, messages, code } = await talk(
    '/pods/web/exec?command=run&command=3&stdout=true&stderr=true',
    ['v5.channel.k8s.io', 'v4.channel.k8s.io'],
  )
  assert.equal(protocol, 'v5.channel.k8s.io')
  assert.deepEqual([...messages[0]!], [1])
  assert.equal(channel(messages, 1), 'out')
  assert.equal(channel(messages, 2), 'err')
  assert.deepEqual(JSON.parse(channel(messages, 3)), {
    metadata: {},
    status: 'Failure',
    message: 'command terminated with non-zero exit code: exit status 3',
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: '3' }] },
  })
  assert.equal(code, 1000)
})

test('all that a command wrote arrives before its outcome', async () => {
  const { messages } = await talk('/pods/web/exec?command=flood&stdout=true&stderr=true', [
    'v5.channel.k8s.io',
  ])
  assert.equal(channel(messages, 1).length, 64 * 64 * 1024)
  assert.equal(channel(messages, 2), 'last words')
  assert.equal(messages.at(-1)![0], 3)
})

test('v5 closes standard input alone, and the answer still comes', async () => {
  const { messages } = await talk(
    '/pods/web/exec?command=echo&stdin=true&stdout=true',
    ['v5.channel.k8s.io'],
    (socket) => {
      socket.send(Buffer.from('\0ping '))
      socket.send(Buffer.from('\0pong'))
      socket.send(Buffer.of(255, 0))
    },
  )
  assert.equal(channel(messages, 1), 'ping pong')
  assert.deepEqual(JSON.parse(channel(messages, 3)), { metadata: {}, status: 'Success' })
})

test('the old protocol says nothing about success, and base64 goes as text', async () => {
  const { messages } = await talk('/pods/web/exec?command=run&stdout=1', [
    'base64.channel.k8s.io',
    'channel.k8s.io',
  ])
  assert.deepEqual(messages.map(String), ['1', `1${Buffer.from('out').toString('base64')}`])
})

test('a terminal tells its size', async () => {
  const { messages } = await talk(
    '/pods/web/exec?command=size&stdin=true&stdout=true&tty=true',
    ['v4.channel.k8s.io'],
    (socket) => socket.send(Buffer.from('\u0004{"Width":80,"Height":24}')),
  )
  assert.equal(channel(messages, 1), '80x24')
})

test('a failure that is no exit code is told too', async () => {
  const { messages } = await talk('/pods/web/exec?command=throw&stdout=true', ['v4.channel.k8s.io'])
  const status = JSON.parse(channel(messages, 3)) as { message: string; code: number }
  assert.match(status.message, /error executing command in container: no such container/)
  assert.equal(status.code, 500)
})

test('attach writes what the container writes', async () => {
  const { messages } = await talk('/pods/web/attach', ['v4.channel.k8s.io'])
  assert.equal(channel(messages, 1), 'attached')
})

test('what cannot be opened is refused before the upgrade', async () => {
  const refused = async (path: string, protocols: readonly string[] = ['v4.channel.k8s.io']) =>
    assert.rejects(talk(path, protocols), /Unexpected server response: 4\d\d/)
  await refused('/pods/web/exec?command=run')
  await refused('/pods/web/exec?stdout=true')
  await refused('/pods/gone/exec?command=run&stdout=true')
  await refused('/pods/web/exec?command=run&stdout=true&container=x')
  await refused('/pods/web/exec?command=run&stdout=true', ['v9.channel.k8s.io'])
})

test('a pod on a node that is gone has nobody to ask: 404; a kubelet that does not answer is 500', async () => {
  for (const path of ['log', 'exec?command=run&stdout=true', 'attach?stdout=true']) {
    const { status, body } = await get(`/pods/stranded/${path}`)
    assert.deepEqual([path, status, body], [path, 404, 'nodes "absent" not found'])
  }
  assert.equal((await get('/pods/quiet/log')).status, 500)
  assert.equal((await get('/nodes/absent/proxy/healthz')).status, 404)
})

test('ports are forwarded over old channels, two a port', async () => {
  const seen = await talk('/pods/web/portforward?ports=80,1', ['v4.channel.k8s.io'], (socket) => {
    socket.on('message', (data: Buffer) => {
      if (data[0] === 0 && data.length > 3) socket.close()
      if (data[0] === 3 && data.length > 3) socket.send(Buffer.from('\0bounce'))
    })
  })
  assert.equal(channel(seen.messages, 0), 'P\0bounce')
  assert.match(channel(seen.messages, 3), /error forwarding port 1 to pod web_shop/)
})
