/* oxlint-disable no-restricted-globals -- it runs in a container of its own, with nothing but Node */
// The many-purpose server and client of the official test images, as far as the mirrors need it: the same words in, the
// same words out. Written for a container that has nothing but Node and busybox.
import { execFile } from 'node:child_process'
import dgram from 'node:dgram'
import dns from 'node:dns/promises'
import fs from 'node:fs'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import net from 'node:net'
import os from 'node:os'
import process from 'node:process'

const [command = 'pause', ...words] = process.argv.slice(2)
const flags = new Map()
const operands = []
for (let i = 0; i < words.length; i++) {
  const word = words[i]
  const match = /^--?([\w-]+)(?:=(.*))?$/s.exec(word)
  if (match === null) operands.push(word)
  else if (match[2] !== undefined) flags.set(match[1], match[2])
  else if (i + 1 < words.length && !words[i + 1].startsWith('-')) flags.set(match[1], words[++i])
  else flags.set(match[1], 'true')
}
const flag = (name, usual) => flags.get(name) ?? usual
const number = (name, usual) => Number(flag(name, usual))
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const say = (text) => fs.writeSync(1, `${text}\n`)

let delayShutdownSeconds = 0
process.on('SIGTERM', () => setTimeout(() => process.exit(0), delayShutdownSeconds * 1000))
process.on('SIGINT', () => process.exit(0))

const bodyOf = async (request) => {
  const chunks = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

function netexec() {
  const httpPort = number('http-port', 8080)
  const udpPort = number('udp-port', 8081)
  const override = flag('http-override', '')
  delayShutdownSeconds = number('delay-shutdown', 0)
  let udpReady = udpPort < 0
  const handler = async (request, response) => {
    say(`${new Date().toISOString()} ${request.method} ${request.url}`)
    const url = new URL(request.url, 'http://host')
    const q = url.searchParams
    const end = (text, code = 200, headers = {}) => {
      response.writeHead(code, { 'content-type': 'text/plain; charset=utf-8', ...headers })
      response.end(text)
    }
    const path = override !== '' && url.pathname === '/' ? override : url.pathname
    switch (path) {
      case '/':
        return end(`NOW: ${new Date().toISOString()}`)
      case '/hostname':
      case '/hostName':
        return end(os.hostname())
      case '/clientip': {
        const address = request.socket.remoteAddress.replace(/^::ffff:/, '')
        return end(
          `${address.includes(':') ? `[${address}]` : address}:${request.socket.remotePort}`,
        )
      }
      case '/serverport':
        return end(String(request.socket.localPort))
      case '/echo':
        return end(q.get('msg') ?? '', Number(q.get('code') ?? 200))
      case '/header':
        return end(request.headers[(q.get('key') ?? '').toLowerCase()] ?? '')
      case '/healthz':
        return udpReady ? end('') : end('', 412)
      case '/dial':
        return dial(q, end)
      case '/shell':
      case '/shellCommand':
        return execFile(
          '/bin/sh',
          ['-c', q.get('cmd') ?? q.get('shellCommand') ?? ''],
          (error, stdout, stderr) =>
            end(
              JSON.stringify({
                ...(stdout + stderr === '' ? {} : { output: stdout + stderr }),
                ...(error ? { error: `exit status ${error.code}` } : {}),
              }),
              error ? 417 : 200,
            ),
        )
      case '/exit': {
        end('')
        await sleep(seconds(q.get('wait') ?? '0s') * 1000)
        return process.exit(Number(q.get('code') ?? 0))
      }
      case '/redirect':
        return end('', Number(q.get('code') ?? 302), { location: q.get('location') ?? '/' })
      case '/shutdown':
        return process.exit(0)
      case '/upload': {
        const file = `/tmp/upload${Math.random().toString(36).slice(2)}`
        fs.writeFileSync(file, await bodyOf(request))
        return end(JSON.stringify({ output: file }), 201)
      }
      default:
        return end('404 page not found\n', 404)
    }
  }
  const server = flags.has('tls-cert-file')
    ? https.createServer(
        {
          cert: fs.readFileSync(flag('tls-cert-file')),
          key: fs.readFileSync(flag('tls-private-key-file')),
        },
        handler,
      )
    : http.createServer(handler)
  server.listen(httpPort, '::', () => say(`Started HTTP server on port ${httpPort}`))
  if (udpPort < 0) return
  const udp = dgram.createSocket('udp6')
  udp.on('message', (message, from) => {
    const text = message.toString().trim()
    const address = from.address.replace(/^::ffff:/, '')
    const answer = /^hostname$/i.test(text)
      ? os.hostname()
      : text.startsWith('echo ')
        ? text.slice(5)
        : text === 'clientip'
          ? `${address}:${from.port}`
          : ''
    udp.send(answer, from.port, from.address)
  })
  udp.bind(udpPort, () => {
    udpReady = true
    say(`Started UDP server on port ${udpPort}`)
  })
}

const seconds = (text) => {
  const match = /^([\d.]+)(ms|s|m|h)?$/.exec(text)
  return match ? Number(match[1]) * { ms: 0.001, s: 1, m: 60, h: 3600 }[match[2] ?? 's'] : 0
}

async function dial(q, end) {
  const [host, port, protocol, request] = ['host', 'port', 'protocol', 'request'].map((name) =>
    q.get(name),
  )
  if (!host || !port || !['http', 'udp', 'sctp', null].includes(protocol))
    return end('bad parameters', 400)
  const tries = Number(q.get('tries') ?? 1)
  const responses = []
  const errors = []
  let lastWorked = false
  for (let i = 0; i < tries; i++)
    try {
      responses.push(
        protocol === 'udp'
          ? await askUdp(host, Number(port), request)
          : await askHttp(host, Number(port), request),
      )
      lastWorked = true
    } catch (error) {
      errors.push(error.message)
      lastWorked = false
    }
  const answer = {}
  if (responses.length > 0) answer.responses = responses
  if (errors.length > 0) answer.errors = errors
  return end(JSON.stringify(answer), lastWorked ? 200 : 417)
}

const askHttp = (host, port, request) =>
  new Promise((resolve, reject) => {
    const path = `/${(request ?? '').replace(/^\//, '')}`
    const call = http.get({ host, port, path, agent: false, timeout: 5000 }, async (response) =>
      resolve(await bodyOf(response)),
    )
    call.on('timeout', () => call.destroy(new Error('i/o timeout')))
    call.on('error', reject)
  })

const askUdp = (host, port, request) =>
  new Promise((resolve, reject) => {
    const socket = dgram.createSocket(net.isIPv6(host) ? 'udp6' : 'udp4')
    const timer = setTimeout(() => {
      socket.close()
      reject(new Error(`reading from udp connection failed. err:'i/o timeout'`))
    }, 5000)
    const settle = (run) => (value) => {
      clearTimeout(timer)
      socket.close()
      run(value)
    }
    socket.once(
      'message',
      settle((message) => resolve(message.toString())),
    )
    socket.once('error', settle(reject))
    socket.send(request ?? '', port, host)
  })

const modeText = (stat, { full }) => {
  const bits = 'rwxrwxrwx'
  const mode = stat.mode
  let text = ''
  for (let i = 0; i < 9; i++) text += mode & (0o400 >> i) ? bits[i] : '-'
  if (!full) return `-${text}`
  // As Go prints a file mode: letters for what it is, then a dash when there are none.
  let kind = ''
  if (stat.isDirectory()) kind += 'd'
  if (stat.isSymbolicLink()) kind += 'L'
  if (mode & 0o4000) kind += 'u'
  if (mode & 0o2000) kind += 'g'
  if (mode & 0o1000) kind += 't'
  return (kind === '' ? '-' : kind) + text
}

const mountType = (path) => {
  let found = ''
  let type = ''
  for (const line of fs.readFileSync('/proc/self/mountinfo', 'utf8').trim().split('\n')) {
    const [before, after] = line.split(' - ')
    const point = before.split(' ')[4]
    if (
      point === path ||
      (path.startsWith(point === '/' ? '/' : `${point}/`) && point.length >= found.length)
    ) {
      found = point
      type = after.split(' ')[0]
    }
  }
  return type
}

async function mounttest() {
  process.umask(0)
  const each = (name) => (flag(name, '') === '' ? [] : [flag(name)])
  const failing = (what, path, error) =>
    say(`error ${what} ${JSON.stringify(path)}: ${error.message}`)
  for (const mode of ['0644', '0660', '0666', '0777'])
    for (const path of each(`new_file_${mode}`))
      try {
        fs.writeFileSync(path, 'mount-tester new file\n', { mode: parseInt(mode, 8) })
        say(`content of file "${path}": ${fs.readFileSync(path, 'utf8')}`)
      } catch (error) {
        failing('writing new file', path, error)
        process.exitCode = 1
      }
  for (const path of each('fs_type')) say(`mount type of "${path}": ${mountType(path)}`)
  for (const path of each('file_mode')) {
    try {
      say(`mode of file "${path}": ${modeText(fs.statSync(path), { full: true })}`)
    } catch (error) {
      failing('with Lstat', path, error)
      process.exitCode = 1
    }
  }
  for (const path of each('file_perm')) {
    try {
      say(`perms of file "${path}": ${modeText(fs.statSync(path), { full: false })}`)
    } catch (error) {
      failing('with Lstat', path, error)
      process.exitCode = 1
    }
  }
  for (const path of each('file_owner')) {
    const stat = fs.lstatSync(path)
    say(`owner UID of "${path}": ${stat.uid}`)
    say(`owner GID of "${path}": ${stat.gid}`)
  }
  for (const path of each('file_content'))
    try {
      say(`content of file "${path}": ${fs.readFileSync(path, 'utf8')}`)
    } catch (error) {
      say(`Error reading file ${path}: ${goError('open', path, error)}`)
      process.exitCode = 1
    }
  const loops = each('file_content_in_loop')
  const until = Date.now() + number('retry_time', 180) * 1000
  for (const path of loops)
    for (;;) {
      try {
        say(`content of file "${path}": ${fs.readFileSync(path, 'utf8')}`)
        if (flag('break_on_expected_content', 'true') === 'true') break
      } catch (error) {
        say(`Error reading file ${path}: ${goError('open', path, error)}, retrying`)
      }
      if (Date.now() > until) break
      await sleep(1000)
    }
}

const goError = (verb, path, { code, message }) =>
  `${verb} ${path}: ${{ ENOENT: 'no such file or directory', EACCES: 'permission denied' }[code] ?? message}`

const TYPES = {
  html: 'text/html; charset=utf-8',
  json: 'application/json',
  txt: 'text/plain; charset=utf-8',
}
function testWebserver() {
  http
    .createServer((request, response) => {
      const path = decodeURIComponent(new URL(request.url, 'http://host').pathname)
      try {
        const stat = fs.statSync(path)
        if (stat.isDirectory()) {
          response.setHeader('content-type', TYPES.html)
          return response.end(
            `<pre>\n${fs
              .readdirSync(path)
              .map((name) => `<a href="${name}">${name}</a>\n`)
              .join('')}</pre>\n`,
          )
        }
        response.setHeader('content-type', TYPES[path.split('.').pop()] ?? TYPES.txt)
        response.end(fs.readFileSync(path))
      } catch {
        response.writeHead(404)
        response.end('404 page not found\n')
      }
    })
    .listen(number('port', 80))
}

function serveHostname() {
  const port = number('port', 9376)
  if (flag('http', 'true') === 'true' && !flags.has('tcp') && !flags.has('udp'))
    http.createServer((_, response) => response.end(os.hostname())).listen(port)
  if (flag('tcp') === 'true') net.createServer((socket) => socket.end(os.hostname())).listen(port)
  if (flag('udp') === 'true') {
    const udp = dgram.createSocket('udp6')
    udp.on('message', (_, from) => udp.send(os.hostname(), from.port, from.address))
    udp.bind(port)
  }
}

function liveness() {
  const began = Date.now()
  http
    .createServer((_, response) => {
      const good = Date.now() - began < 10_000
      response.writeHead(good ? 200 : 500)
      response.end(good ? 'ok' : `error: ${(Date.now() - began) / 1000}`)
    })
    .listen(number('port', 8080))
}

/** The standard health service of gRPC, in clear text; HTTP switches what it says. */
function grpcHealthChecking() {
  const began = Date.now()
  const delay = number('delay-unhealthy-sec', -1)
  let serving = true
  const frame = (...bytes) => Buffer.from([0, 0, 0, 0, bytes.length, ...bytes])
  const server = http2.createServer()
  server.on('stream', (stream, headers) => {
    if (headers[':path'] !== '/grpc.health.v1.Health/Check') {
      stream.respond({ 'content-type': 'application/grpc', 'grpc-status': 12 }, { endStream: true })
      return
    }
    const good = serving && (delay < 0 || Date.now() - began < delay * 1000)
    stream.respond({ 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': 0 }))
    stream.end(frame(0x08, good ? 1 : 2))
  })
  server.listen(number('port', 5000), () => say(`Serving gRPC on port ${number('port', 5000)}`))
  http
    .createServer((request, response) => {
      if (request.url === '/make-serving') serving = true
      else if (request.url === '/make-not-serving') serving = false
      else response.statusCode = 404
      response.end('ok')
    })
    .listen(number('http-port', 8080))
}

function porter() {
  const answering = (body) => async (request, response) => {
    const path = new URL(request.url, 'http://host').pathname
    if (path === '/rewriteme') {
      response.setHeader('content-type', TYPES.html)
      return response.end('<a href="/rewriteme">test</a>')
    }
    if (flag('json-response', 'false') === 'true') {
      response.setHeader('content-type', TYPES.json)
      return response.end(
        JSON.stringify({ method: request.method, body: (await bodyOf(request)) || body }),
      )
    }
    if (body.startsWith('<')) response.setHeader('content-type', TYPES.html)
    response.end(body)
  }
  for (const [name, value] of Object.entries(process.env)) {
    const match = /^SERVE_(TLS_)?PORT_(\d+)$/.exec(name)
    if (match === null) continue
    if (match[1] === undefined) http.createServer(answering(value)).listen(Number(match[2]))
    else
      https
        .createServer(
          {
            cert: fs.readFileSync(process.env.CERT_FILE ?? '/localhost.crt'),
            key: fs.readFileSync(process.env.CERT_KEY ?? '/localhost.key'),
          },
          answering(value),
        )
        .listen(Number(match[2]))
  }
}

async function logsGenerator() {
  const total = number('log-lines-total', 0)
  const duration = seconds(flag('run-duration', '0s'))
  if (total <= 0 || duration <= 0) throw new Error('Invalid total number of lines or duration')
  const verbs = ['GET', 'PUT', 'POST']
  const spaces = ['kube-system', 'default', 'ns']
  for (let i = 0; i < total; i++) {
    const id = Math.random().toString(36).slice(2, 6)
    say(
      `I${new Date().toISOString().slice(5, 10).replace('-', '')} ${new Date().toISOString().slice(11, 23)}000       1 logs_generator.go:76] ${i} ${verbs[i % 3]} /api/v1/namespaces/${spaces[i % 3]}/pods/${id} ${200 + ((i * 7) % 300)}`,
    )
    await sleep((duration * 1000) / total)
  }
}

const TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount'
const apiCall = (path, token) =>
  new Promise((resolve, reject) => {
    https
      .get(
        {
          host: process.env.KUBERNETES_SERVICE_HOST,
          port: process.env.KUBERNETES_SERVICE_PORT,
          path,
          ca: fs.readFileSync(`${TOKEN}/ca.crt`),
          headers: { authorization: `Bearer ${token}` },
          agent: false,
        },
        async (response) => resolve({ status: response.statusCode, text: await bodyOf(response) }),
      )
      .on('error', reject)
  })

async function inclusterclient() {
  const every = number('poll-interval', 300) * 1000
  let last = ''
  for (;;) {
    const token = fs.readFileSync(`${TOKEN}/token`, 'utf8').trim()
    say(`calling /healthz`)
    try {
      const { status, text } = await apiCall('/healthz', token)
      say(`authz_header=${token.slice(0, 4)}... status=${status} ${text}`)
      if (token !== last) say(`token changed: ${last !== ''}`)
      last = token
    } catch (error) {
      say(`err: ${error.message}`)
    }
    await sleep(every)
  }
}

async function issuerDiscovery() {
  const token = fs.readFileSync(flag('token-path'), 'utf8').trim()
  const [, payload] = token.split('.')
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
  say(`OK: Got token`)
  // The token that is looked at is for another audience: the API is asked with the pod's own.
  const own = fs.readFileSync(`${TOKEN}/token`, 'utf8').trim()
  const { status, text } = await apiCall('/.well-known/openid-configuration', own)
  if (status !== 200) throw new Error(`discovery answered ${status}`)
  const configuration = JSON.parse(text)
  say('OK: got issuer ' + configuration.issuer)
  if (configuration.issuer !== claims.iss) throw new Error('the issuers differ')
  const keys = JSON.parse((await apiCall('/openid/v1/jwks', own)).text).keys
  const { createPublicKey, verify } = await import('node:crypto')
  const [head, body, signature] = token.split('.')
  const { kid, alg } = JSON.parse(Buffer.from(head, 'base64url').toString())
  const jwk = keys.find((key) => key.kid === kid)
  const good = verify(
    'sha256',
    Buffer.from(`${head}.${body}`),
    {
      key: createPublicKey({ key: jwk, format: 'jwk' }),
      ...(alg.startsWith('ES') ? { dsaEncoding: 'ieee-p1363' } : {}),
    },
    Buffer.from(signature, 'base64url'),
  )
  if (!good) throw new Error('the signature is wrong')
  say('OK: Constructed OIDC provider for issuer ' + configuration.issuer)
  say('OK: Validated signature on JWT')
  if (![claims.aud].flat().includes(flag('audience', 'oidc-discovery-test')))
    throw new Error('another audience')
  say('OK: Got valid claims from token!')
}

async function connect() {
  const [target] = operands
  const at = target.lastIndexOf(':')
  const timeout = seconds(flag('timeout', '0s')) * 1000
  try {
    await dns.lookup(target.slice(0, at))
  } catch {
    return fail('DNS')
  }
  if (flag('protocol', 'tcp') === 'udp')
    return askUdp(target.slice(0, at), Number(target.slice(at + 1)), 'hostname').catch(() =>
      fail('TIMEOUT'),
    )
  return new Promise((resolve) => {
    const socket = net.connect(
      { host: target.slice(0, at), port: Number(target.slice(at + 1)) },
      () => {
        socket.destroy()
        resolve()
      },
    )
    if (timeout > 0) socket.setTimeout(timeout, () => fail('TIMEOUT'))
    socket.on('error', ({ code }) =>
      fail(code === 'ECONNREFUSED' ? 'REFUSED' : code === 'ETIMEDOUT' ? 'TIMEOUT' : 'OTHER'),
    )
  })
}
const fail = (word) => {
  fs.writeSync(2, `${word}\n`)
  process.exit(1)
}

async function guestbook() {
  const port = number('http-port', 80)
  const backend = number('backend-port', 6379)
  const replicaOf = flag('replicaof', '')
  const store = new Map()
  const replicas = new Set()
  const end = (response, data) => {
    response.setHeader('content-type', TYPES.json)
    response.end(JSON.stringify({ data }))
  }
  http
    .createServer(async (request, response) => {
      const url = new URL(request.url, 'http://host')
      const q = url.searchParams
      const [cmd, key, value] = ['cmd', 'key', 'value'].map((name) => q.get(name) ?? '')
      try {
        if (url.pathname === '/register') {
          replicas.add(q.get('host'))
          return end(response, 'registered')
        }
        if (url.pathname === '/get') return end(response, store.get(key) ?? '')
        if (url.pathname === '/set') {
          store.set(key, value)
          for (const host of replicas)
            await askHttp(
              host,
              backend,
              `set?key=${encodeURIComponent(key)}&value=${encodeURIComponent(value)}`,
            )
          return end(response, 'Updated')
        }
        if (url.pathname === '/guestbook') {
          const host = cmd === 'set' ? 'agnhost-primary' : 'agnhost-replica'
          const query = new URLSearchParams({ key, value })
          response.setHeader('content-type', TYPES.json)
          return response.end(await askHttp(host, backend, `${cmd}?${query}`))
        }
        response.writeHead(404)
        response.end()
      } catch (error) {
        response.writeHead(500)
        response.end(error.message)
      }
    })
    .listen(port)
  while (replicaOf !== '') {
    const own = Object.values(os.networkInterfaces())
      .flat()
      .find(({ internal, family }) => !internal && family === 'IPv4')
    try {
      await askHttp(replicaOf, backend, `register?host=${own.address}`)
      return
    } catch {
      await sleep(1000)
    }
  }
}

/** As much of curl as tests use: -q -s -S -g, a limit of seconds, one address. Its exit codes are those of curl. */
function curl() {
  const args = process.argv.slice(3)
  let limitSeconds = 60
  let target = ''
  for (let i = 0; i < args.length; i++) {
    if (args[i] === '-m' || args[i] === '--max-time' || args[i] === '--connect-timeout')
      limitSeconds = Number(args[++i])
    else if (!args[i].startsWith('-')) target = args[i]
  }
  const url = new URL(target.includes('://') ? target : `http://${target}`)
  const fail = ({ code }) =>
    process.exit({ ECONNREFUSED: 7, EHOSTUNREACH: 7, ENOTFOUND: 6, EAI_AGAIN: 6 }[code] ?? 28)
  setTimeout(() => process.exit(28), limitSeconds * 1000).unref()
  const module = url.protocol === 'https:' ? https : http
  return new Promise((resolve) => {
    module
      .get(url, { rejectUnauthorized: false }, (response) => {
        response.on('data', (chunk) => process.stdout.write(chunk))
        response.on('end', () => resolve(process.exit(0)))
      })
      .on('error', fail)
  })
}

/** A server that only speaks with those whose certificate its trust bundle knows, and tells them who they are. */
function mtlsServer() {
  const [address, port] = flag('listen', '0.0.0.0:443').split(/:(?=\d+$)/)
  const bundle = fs.readFileSync(flag('credential-bundle'), 'utf8')
  https
    .createServer(
      {
        key: bundle,
        cert: bundle,
        ca: fs.readFileSync(flag('trust-bundle')),
        requestCert: true,
        rejectUnauthorized: true,
      },
      (request, response) => response.end(request.socket.getPeerX509Certificate().subjectAltName),
    )
    .listen(Number(port), address)
}

async function mtlsClient() {
  for (;;) {
    const bundle = fs.readFileSync(flag('credential-bundle'), 'utf8')
    const options = {
      key: bundle,
      cert: bundle,
      ca: fs.readFileSync(flag('trust-bundle')),
      agent: false,
    }
    await new Promise((resolve) => {
      https
        .get(flag('fetch-url'), options, async (response) => resolve(say(await bodyOf(response))))
        .on('error', ({ message }) => resolve(say(`error: ${message}`)))
    })
    await sleep(1000)
  }
}

/** `nc [-u] [-v] [-z] [-w SECONDS] HOST PORT`, as the tests use it: what comes in is sent, what is answered is shown. */
function nc() {
  const args = process.argv.slice(3)
  const has = (letter) => args.some((arg) => /^-[a-z]+$/.test(arg) && arg.includes(letter))
  const wait = args.findIndex((arg) => /^-[a-z]*w$/.test(arg))
  const seconds = wait < 0 ? 10 : Number(args[wait + 1])
  const [host, port] = args.filter((arg, i) => !arg.startsWith('-') && (wait < 0 || i !== wait + 1))
  const giveUp = () => process.exit(1)
  if (has('u')) {
    const socket = dgram.createSocket(net.isIPv6(host) ? 'udp6' : 'udp4')
    socket.on('message', (message) => {
      fs.writeSync(1, message)
      process.exit(0)
    })
    socket.on('error', giveUp)
    if (has('z')) {
      // Nobody has to answer: a port without a listener is told by the host, if at all.
      socket.connect(Number(port), host, () => socket.send('X'))
      setTimeout(() => process.exit(0), Math.min(seconds, 1) * 1000)
      return
    }
    setTimeout(giveUp, seconds * 1000)
    socket.send(fs.readFileSync(0), Number(port), host)
    return
  }
  const socket = net.connect(Number(port), host, () => {
    if (has('v')) fs.writeSync(2, `${host} (${socket.remoteAddress}:${port}) open\n`)
    if (has('z')) process.exit(0)
    process.stdin.pipe(socket)
  })
  socket.setTimeout(seconds * 1000, () => process.exit(socket.connecting ? 1 : 0))
  socket.on('data', (data) => fs.writeSync(1, data))
  socket.on('error', giveUp)
  socket.on('close', () => process.exit(0))
}

/** `getent hosts NAME`: its addresses, from /etc/hosts or DNS; exit 2 when there is none, as the original. */
async function getent() {
  const name = operands.at(-1)
  try {
    for (const { address } of await dns.lookup(name, { all: true }))
      say(`${address.padEnd(15)} ${name}`)
  } catch {
    process.exit(2)
  }
}

const commands = {
  nc,
  getent,
  mtlsserver: mtlsServer,
  mtlsclient: mtlsClient,
  curl,
  pause() {
    say('Paused')
    setInterval(() => undefined, 1 << 30)
  },
  netexec,
  mounttest,
  'test-webserver': testWebserver,
  'serve-hostname': serveHostname,
  liveness,
  'grpc-health-checking': grpcHealthChecking,
  'entrypoint-tester': () =>
    say(`[${[process.env.PROGRAM ?? '/agnhost', ...process.argv.slice(2)].join(' ')}]`),
  porter,
  'logs-generator': logsGenerator,
  inclusterclient,
  'test-service-account-issuer-discovery': issuerDiscovery,
  connect,
  guestbook,
  'dns-suffix': () =>
    say(
      (/^search (.*)$/m.exec(fs.readFileSync('/etc/resolv.conf', 'utf8'))?.[1] ?? '')
        .split(/\s+/)
        .join(','),
    ),
  'dns-server-list': () =>
    say(
      [...fs.readFileSync('/etc/resolv.conf', 'utf8').matchAll(/^nameserver (\S+)/gm)]
        .map((m) => m[1])
        .join(','),
    ),
  'etc-hosts': () => say(fs.readFileSync('/etc/hosts', 'utf8')),
}

const run = commands[command]
if (run === undefined) {
  fs.writeSync(2, `Error: unknown command ${JSON.stringify(command)} for "app"\n`)
  process.exit(1)
}
try {
  await run()
} catch (error) {
  fs.writeSync(2, `${error.message}\n`)
  process.exit(1)
}
