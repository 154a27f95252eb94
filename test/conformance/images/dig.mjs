/* oxlint-disable no-restricted-globals -- it runs in a container of its own, with nothing but Node */
// As much of dig as tests use: `dig [@SERVER] [-p PORT] [+tcp] [+notcp] [+search] [+short] NAME [TYPE]`, with the answers
// alone (+noall +answer). Lines as dig shows them; nothing and exit 0 for a name without records, exit 9 without a server.
import dgram from 'node:dgram'
import fs from 'node:fs'
import net from 'node:net'
import process from 'node:process'

const TYPES = { A: 1, NS: 2, CNAME: 5, SOA: 6, PTR: 12, MX: 15, TXT: 16, AAAA: 28, SRV: 33 }
const typeName = (code) => Object.keys(TYPES).find((name) => TYPES[name] === code) ?? `TYPE${code}`
const TRIES = 3
const WAIT_MS = 5_000

function question(id, name, type) {
  const labels = name
    .replace(/\.$/, '')
    .split('.')
    .flatMap((label) => [Buffer.from([Buffer.byteLength(label)]), Buffer.from(label)])
  const head = Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0])
  return Buffer.concat([head, ...labels, Buffer.from([0, type >> 8, type & 255, 0, 1])])
}

/** The name at an offset, and where what follows it begins: a pointer ends a name. */
function nameAt(message, at) {
  let name = ''
  let next
  for (;;) {
    const length = message[at]
    if (length === 0) return [name === '' ? '.' : name, next ?? at + 1]
    if (length >= 0xc0) {
      next ??= at + 2
      at = message.readUInt16BE(at) & 0x3fff
    } else {
      name += `${message.toString('latin1', at + 1, at + 1 + length)}.`
      at += 1 + length
    }
  }
}

const dataOf = (message, type, at, length) => {
  const data = message.subarray(at, at + length)
  switch (typeName(type)) {
    case 'A':
      return data.join('.')
    case 'AAAA':
      return new URL(`http://[${data.toString('hex').match(/..../g).join(':')}]`).hostname.slice(
        1,
        -1,
      )
    case 'NS':
    case 'CNAME':
    case 'PTR':
      return nameAt(message, at)[0]
    case 'MX':
      return `${data.readUInt16BE(0)} ${nameAt(message, at + 2)[0]}`
    case 'SRV':
      return `${[0, 2, 4].map((i) => data.readUInt16BE(i)).join(' ')} ${nameAt(message, at + 6)[0]}`
    case 'TXT': {
      const texts = []
      for (let i = 0; i < length; i += 1 + data[i])
        texts.push(JSON.stringify(data.toString('utf8', i + 1, i + 1 + data[i])))
      return texts.join(' ')
    }
    default:
      return `\\# ${length} ${data.toString('hex')}`
  }
}

function answersOf(message) {
  let at = nameAt(message, 12)[1] + 4
  return Array.from({ length: message.readUInt16BE(6) }, () => {
    const [name, after] = nameAt(message, at)
    const type = message.readUInt16BE(after)
    const length = message.readUInt16BE(after + 8)
    at = after + 10 + length
    const data = dataOf(message, type, after + 10, length)
    return { name, ttl: message.readUInt32BE(after + 4), type: typeName(type), data }
  })
}

const overUdp = ({ server, port }, query) =>
  new Promise((resolve, reject) => {
    const socket = dgram.createSocket(net.isIPv6(server) ? 'udp6' : 'udp4')
    const timer = setTimeout(() => socket.close(() => reject(new Error('timed out'))), WAIT_MS)
    socket.on('message', (message) => {
      if (message.readUInt16BE(0) !== query.readUInt16BE(0)) return
      clearTimeout(timer)
      socket.close(() => resolve(message))
    })
    socket.on('error', reject)
    socket.send(query, port, server)
  })

const overTcp = ({ server, port }, query) =>
  new Promise((resolve, reject) => {
    const socket = net.connect(port, server, () =>
      socket.write(Buffer.concat([Buffer.from([query.length >> 8, query.length & 255]), query])),
    )
    socket.setTimeout(WAIT_MS, () => socket.destroy(new Error('timed out')))
    let got = Buffer.alloc(0)
    socket.on('data', (chunk) => {
      got = Buffer.concat([got, chunk])
      if (got.length < 2 || got.length < 2 + got.readUInt16BE(0)) return
      socket.destroy()
      resolve(got.subarray(2))
    })
    socket.on('error', reject)
  })

const resolvConf = (text) => ({
  server: /^nameserver\s+(\S+)/m.exec(text)?.[1] ?? '127.0.0.1',
  search: (/^search\s+(.*)$/m.exec(text)?.[1] ?? '').split(/\s+/).filter((domain) => domain !== ''),
  ndots: Number(/^options\s.*\bndots:(\d+)/m.exec(text)?.[1] ?? 1),
})

/** The names to ask for, in order: with +search those of the search list too, first of all for a name of few dots. */
const candidates = (name, searching, { search, ndots }) => {
  if (name.endsWith('.') || !searching) return [name]
  const longer = search.map((domain) => `${name}.${domain}`)
  return name.split('.').length - 1 >= ndots ? [name, ...longer] : [...longer, name]
}

let conf = ''
try {
  conf = fs.readFileSync('/etc/resolv.conf', 'utf8')
} catch {
  // A machine without the file asks itself, as the resolver does.
}
const settings = resolvConf(conf)
const options = new Set()
const words = []
let port = 53
const args = process.argv.slice(2)
for (let i = 0; i < args.length; i++) {
  if (args[i] === '-p') port = Number(args[++i])
  else if (args[i].startsWith('@')) settings.server = args[i].slice(1)
  else if (args[i].startsWith('+')) options.add(args[i].slice(1))
  else words.push(args[i])
}
const [name = '.', type = 'A'] = words
const ask = options.has('tcp') ? overTcp : overUdp
const to = { server: settings.server, port }

async function answers(candidate) {
  let failure
  for (let i = 0; i < TRIES; i++)
    try {
      const query = question(
        Math.floor(Math.random() * 65_536),
        candidate,
        TYPES[type.toUpperCase()],
      )
      const message = await ask(to, query)
      // A truncated answer is asked for again over TCP.
      return answersOf((message[2] & 2) !== 0 ? await overTcp(to, query) : message)
    } catch (error) {
      failure = error
    }
  throw failure
}

try {
  let found = []
  for (const candidate of candidates(name, options.has('search'), settings)) {
    found = await answers(candidate)
    if (found.length > 0) break
  }
  for (const { name: owner, ttl, type: kind, data } of found)
    fs.writeSync(1, options.has('short') ? `${data}\n` : `${owner}\t${ttl}\tIN\t${kind}\t${data}\n`)
} catch (error) {
  fs.writeSync(1, `;; connection timed out; no servers could be reached (${error.message})\n`)
  process.exitCode = 9
}
