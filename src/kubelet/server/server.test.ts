import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { createServer } from 'node:net'
import { PassThrough, Readable, Writable } from 'node:stream'
import { test, type TestContext } from 'node:test'
import { ensurePki } from '../../apiserver/certificates/index.ts'
import { realEnv, silentLogger, virtualEnv } from '#base'
import { kubeletApi, type NodeApi, type PodTarget } from '#client'
import { badRequest, internalError, StatusError } from '#machinery'
import { get, type RequestOptions } from 'node:https'
import { AuthorizationError, type NodeAccess } from './access.ts'
import { serveNode } from './index.ts'

const TARGET: PodTarget = { namespace: 'shop', pod: 'web-0' }
const unused = (): never => assert.fail('not asked for')
const env = { ...realEnv(), log: silentLogger }

/** Everybody has a token of their own name; Prometheus may read numbers, and nobody else anything. */
const access: NodeAccess = {
  authenticate: async (token) => {
    if (token === 'unreachable') throw new Error('the API does not answer')
    return token === 'forged' ? undefined : { name: token, groups: [] }
  },
  authorize: async ({ name }, { verb, subresources }) => {
    if (name === 'unlucky')
      throw new AuthorizationError({ name, groups: [] }, verb, subresources[0] ?? '')
    return name === 'prometheus' && verb === 'get' && subresources.includes('metrics')
  },
}

async function world(t: TestContext, api: Partial<NodeApi>, client?: 'admin') {
  const pki = await ensurePki({ ...env, fs: virtualEnv().fs }, '/pki')
  const serving = await pki.issue({
    subject: { commonName: 'system:node:n1', organizations: ['system:nodes'] },
    usages: ['server'],
    names: ['n1'],
  })
  const nodeApi: NodeApi = {
    logs: unused,
    exec: unused,
    attach: unused,
    portForward: unused,
    page: unused,
    ...api,
  }
  const server = await serveNode({
    host: '127.0.0.1',
    port: 0,
    nodeApi,
    access,
    env,
    tls: { ...serving, authority: pki.authority.certificate },
  })
  t.after(() => server.close())
  const remote = (nodeName: string) =>
    kubeletApi({
      address: '127.0.0.1',
      port: server.port,
      tls: {
        trust: { authority: pki.authority.certificate, name: nodeName },
        ...(client === 'admin' ? pki.admin : pki.kubeletClient),
      },
    })
  const ask = (path: string, options: RequestOptions) =>
    new Promise<{ readonly status: number | undefined; readonly body: string }>(
      (resolve, reject) => {
        const to = { host: '127.0.0.1', port: server.port, path, servername: 'n1', agent: false }
        get({ ...to, ca: pki.authority.certificate, ...options }, (response) => {
          collect(response).then((body) => resolve({ status: response.statusCode, body }), reject)
        }).on('error', reject)
      },
    )
  return { api: remote('n1'), remote, ask, pki }
}

const never = new AbortController().signal
const collect = async (chunks: AsyncIterable<Uint8Array>): Promise<string> => {
  const all: Uint8Array[] = []
  for await (const chunk of chunks) all.push(chunk)
  return Buffer.concat(all).toString('utf8')
}
function sink(): { stream: Writable; text: () => string } {
  const chunks: Buffer[] = []
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk)
      done()
    },
  })
  return { stream, text: () => Buffer.concat(chunks).toString('utf8') }
}

test('logs arrive whole and in order', async (t) => {
  const big = 'x'.repeat(700_000)
  const { api } = await world(t, {
    logs: async (target, options) => {
      assert.deepEqual(target, TARGET)
      assert.deepEqual(options, { container: 'web', tailLines: 3 })
      return (async function* () {
        yield Buffer.from('one\n')
        yield Buffer.from(big)
        yield Buffer.from('\ntwo\n')
      })()
    },
  })
  const chunks = await api.logs(TARGET, { container: 'web', tailLines: 3 }, never)
  assert.equal(await collect(chunks), `one\n${big}\ntwo\n`)
})

test('logs that are followed end on the node when the reader leaves', async (t) => {
  let told: () => void = () => undefined
  const left = new Promise<void>((resolve) => {
    told = resolve
  })
  const { api } = await world(t, {
    logs: async (_target, _options, signal) =>
      (async function* () {
        yield Buffer.from('begin\n')
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
        told()
      })(),
  })
  const stop = new AbortController()
  const chunks = await api.logs(TARGET, { container: 'web', follow: true }, stop.signal)
  for await (const chunk of chunks) {
    assert.equal(Buffer.from(chunk).toString(), 'begin\n')
    stop.abort()
  }
  await left
})

test('a refusal is the same error as in one process', async (t) => {
  const { api } = await world(t, {
    logs: async () => {
      throw badRequest('container nope is not valid for pod web-0')
    },
    exec: async () => {
      throw new StatusError('NotFound', 'pods "web-0" not found')
    },
    find: async (_target, container) => {
      if (container === 'gone') throw internalError('container not found ("gone")')
    },
    portForward: async () => {
      throw new Error('nothing listens on 81')
    },
  })
  await assert.rejects(api.logs(TARGET, { container: 'nope' }, never), (error: StatusError) => {
    assert.equal(error.code, 400)
    assert.equal(error.message, 'container nope is not valid for pod web-0')
    return true
  })
  const exec = { container: 'web', command: ['ls'], tty: false }
  const streams = { stdout: sink().stream }
  await assert.rejects(
    api.exec(TARGET, exec, streams, never),
    ({ code, reason }: StatusError) => code === 404 && reason === 'NotFound',
  )
  await assert.rejects(api.exec(TARGET, { ...exec, container: 'gone' }, streams, never), {
    message: 'Internal error occurred: unable to upgrade connection: container not found ("gone")',
  })
  const forwarded = await api.portForward(TARGET, 81, never)
  await assert.rejects(collect(forwarded as AsyncIterable<Buffer>), {
    message: 'error forwarding port 81 to pod web-0_shop, uid : nothing listens on 81',
  })
})

test('a command gets its input; output, errors and exit code come back', async (t) => {
  const { api } = await world(t, {
    exec: async (_target, { command, tty }, { stdin, stdout, stderr, resize }) => {
      assert.deepEqual([command, tty], [['cat', '-'], false])
      assert.ok(stdin && stdout && stderr && !resize)
      const input = await collect(stdin as AsyncIterable<Buffer>)
      stderr.write('warned')
      stdout.write(input.toUpperCase())
      return { exitCode: 7 }
    },
  })
  const [stdout, stderr] = [sink(), sink()]
  const input = 'hello '.repeat(100_000)
  const { exitCode } = await api.exec(
    TARGET,
    { container: 'web', command: ['cat', '-'], tty: false },
    {
      stdin: Readable.from([Buffer.from(input)]),
      stdout: stdout.stream,
      stderr: stderr.stream,
    },
    never,
  )
  assert.equal(exitCode, 7)
  assert.equal(stdout.text(), input.toUpperCase())
  assert.equal(stderr.text(), 'warned')
})

test('a terminal has sizes and one output', async (t) => {
  const { api } = await world(t, {
    attach: async (_target, { tty }, { stdin, stdout, stderr, resize }) => {
      assert.ok(tty && stdin && stdout && !stderr && resize)
      for await (const { width, height } of resize) {
        stdout.write(`${width}x${height}`)
        break
      }
    },
  })
  const stdout = sink()
  await api.attach(
    TARGET,
    { container: 'web', tty: true },
    {
      stdin: new PassThrough(),
      stdout: stdout.stream,
      resize: (async function* () {
        yield { width: 80, height: 24 }
      })(),
    },
    never,
  )
  assert.equal(stdout.text(), '80x24')
})

test('a command ends when the client leaves in the middle of it', async (t) => {
  let told: () => void = () => undefined
  const left = new Promise<void>((resolve) => {
    told = resolve
  })
  const stop = new AbortController()
  const { api } = await world(t, {
    exec: async (_target, _options, { stdout }, signal) => {
      stdout?.write('begun')
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
      told()
      throw signal.reason
    },
  })
  const stdout = new PassThrough()
  stdout.once('data', () => stop.abort(new Error('left')))
  const exec = { container: 'web', command: ['sleep'], tty: false }
  await assert.rejects(api.exec(TARGET, exec, { stdout }, stop.signal), /left/)
  await left
})

test('forwarded bytes go both ways, and each half ends for itself', async (t) => {
  const echo = createServer({ allowHalfOpen: true }, (socket) => {
    const chunks: Buffer[] = []
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.on('end', () => socket.end(Buffer.concat(chunks).toString().toUpperCase()))
  })
  await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve))
  t.after(() => echo.close())
  const address = echo.address()
  assert.ok(typeof address === 'object' && address !== null)
  const { api } = await world(t, {
    portForward: async (_target, port) => {
      assert.equal(port, 8080)
      return connect({ host: '127.0.0.1', port: address.port, allowHalfOpen: true })
    },
  })
  const stream = await api.portForward(TARGET, 8080, never)
  const text = 'some bytes '.repeat(50_000)
  stream.end(text)
  assert.equal(await collect(stream as AsyncIterable<Buffer>), text.toUpperCase())
})

test('pages are there, and those that are not are undefined', async (t) => {
  const { api } = await world(t, {
    page: async (path, query) =>
      path === '/stats/summary'
        ? { status: 200, contentType: 'application/json', body: Buffer.from(`"${query}"`) }
        : undefined,
  })
  const found = await api.page('/stats/summary', 'only_cpu_and_memory=true')
  assert.equal(found?.contentType, 'application/json')
  assert.equal(Buffer.from(found?.body ?? '').toString(), '"only_cpu_and_memory=true"')
  assert.equal(await api.page('/nope', ''), undefined)
})

test('who is no API server is judged', async (t) => {
  const { api } = await world(t, {}, 'admin')
  await assert.rejects(
    api.logs(TARGET, { container: 'web' }, never),
    ({ code, message }: StatusError) =>
      code === 403 &&
      message.startsWith('Forbidden (user=kubernetes-admin, verb=get, resource=nodes, subresource'),
  )
  await assert.rejects(
    api.exec(TARGET, { container: 'web', command: ['ls'], tty: false }, {}, never),
    /unable to upgrade connection: Forbidden \(user=kubernetes-admin, verb=create/,
  )
  const page = await api.page('/pods', '')
  assert.equal(page?.status, 403)
  assert.equal(
    Buffer.from(page?.body ?? '').toString(),
    'Forbidden (user=kubernetes-admin, verb=get, resource=nodes, subresource(s)=[pods proxy])\n',
  )
})

test('a command can be run without a conversation', async (t) => {
  const { ask, pki } = await world(t, {
    exec: async (_target, { container, command }, { stdout }) => {
      assert.deepEqual([container, command], ['web', ['ls', '-l']])
      stdout?.write('files')
      return { exitCode: command.includes('-l') ? 0 : 1 }
    },
  })
  const { certificate: cert, key } = pki.kubeletClient
  const post = { cert, key, method: 'POST' }
  assert.deepEqual(await ask('/run/shop/web-0/web?cmd=ls%20-l', post), {
    status: 200,
    body: 'files',
  })
  assert.equal((await ask('/run/shop/web-0/web?cmd=ls', { cert, key })).status, 405)
  assert.equal((await ask('/exec/shop/web-0/web?command=ls&output=1', post)).status, 400)
  assert.equal((await ask('/exec/shop/web-0', post)).status, 405)
})

test('a log is read as its query says, and a query that says nonsense is refused', async (t) => {
  const { ask, pki } = await world(t, {
    logs: async (target, options) => {
      assert.deepEqual([target, options], [TARGET, { container: 'web', tailLines: 2 }])
      return (async function* () {
        yield Buffer.from('last\n')
      })()
    },
  })
  const { certificate: cert, key } = pki.kubeletClient
  const path = '/containerLogs/shop/web-0/web'
  const good = { status: 200, body: 'last\n' }
  assert.deepEqual(await ask(`${path}?tailLines=2`, { cert, key }), good)
  assert.deepEqual(await ask(`${path}?tail=2`, { cert, key }), good)
  assert.deepEqual(await ask(`${path}?tailLines=two`, { cert, key }), {
    status: 400,
    body: '{"message": "Unable to decode query."}',
  })
  assert.deepEqual(await ask(`${path}?tailLines=-1`, { cert, key }), {
    status: 422,
    body: '{"message": "Invalid request."}',
  })
})

const metrics: Partial<NodeApi> = {
  page: async (path) => ({ status: 200, contentType: 'text/plain', body: Buffer.from(path) }),
}
const token = (name: string) => ({ headers: { authorization: `Bearer ${name}` } })

test('nobody is asked for a page without saying who asks', async (t) => {
  const { ask, pki } = await world(t, metrics)
  const refused = { status: 401, body: 'Unauthorized' }
  assert.deepEqual(await ask('/healthz', {}), refused)
  assert.deepEqual(await ask('/healthz', token('forged')), refused)
  assert.deepEqual(await ask('/healthz', token('unreachable')), refused)
  // Another authority's certificate says nothing.
  const { admin } = await ensurePki({ ...env, fs: virtualEnv().fs }, '/other')
  assert.notEqual(admin.certificate, pki.admin.certificate)
  const stranger = { cert: admin.certificate, key: admin.key }
  assert.deepEqual(await ask('/healthz', stranger), refused)
})

test('a token may read what its user may, and hears what it may not', async (t) => {
  const { ask } = await world(t, metrics)
  assert.deepEqual(await ask('/metrics/cadvisor', token('prometheus')), {
    status: 200,
    body: '/metrics/cadvisor',
  })
  assert.deepEqual(await ask('/logs/', token('prometheus')), {
    status: 403,
    body: 'Forbidden (user=prometheus, verb=get, resource=nodes, subresource(s)=[log])\n',
  })
  const post = await ask('/metrics', { ...token('prometheus'), method: 'POST' })
  assert.match(post.body, /^Forbidden \(user=prometheus, verb=create, /)
  assert.deepEqual(await ask('/configz', token('unlucky')), {
    status: 500,
    body: 'Authorization error (user=unlucky, verb=get, resource=nodes, subresource=configz)',
  })
})

test('a path written in other characters is judged as what it is', async (t) => {
  const { ask } = await world(t, metrics)
  const { status } = await ask('/%6cogs/', token('prometheus'))
  assert.equal(status, 403)
})

test('a kubelet that shows the certificate of another node is not talked to', async (t) => {
  const { remote } = await world(t, {})
  await assert.rejects(
    remote('n2').logs(TARGET, { container: 'web' }, never),
    /^StatusError: Get "https:\/\/127.0.0.1:\d+\/containerLogs\/shop\/web-0\/web": tls: failed to verify certificate/,
  )
})
