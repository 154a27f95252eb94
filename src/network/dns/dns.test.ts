import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encode, type Packet, type Question, type Record, RECURSION_DESIRED } from 'dns-packet'
import fc from 'fast-check'
import type { EndpointSlice, Service } from '#api'
import { virtualEnv } from '#base'
import type { Follow } from '../follow.ts'
import { addressOfReverse, answer } from './answer.ts'
import { createForwarder, parseResolvers } from './forward.ts'
import { deframer, frame, parseMessage, survey } from './message.ts'
import { startDns } from './server.ts'
import { createZone, namesOf } from './zone.ts'

const service = (name: string, spec: Partial<Service['spec']>): Service => ({
  metadata: { name, namespace: 'shop' } as Service['metadata'],
  spec: { ports: [{ name: 'http', port: 80, protocol: 'TCP' }], ...spec },
})
const slice = (of: string, endpoints: EndpointSlice['endpoints']): EndpointSlice => ({
  metadata: {
    name: `${of}-1`,
    namespace: 'shop',
    labels: { 'kubernetes.io/service-name': of },
  } as unknown as EndpointSlice['metadata'],
  addressType: 'IPv4',
  ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  ...(endpoints && { endpoints }),
})
const endpoint = (ip: string, hostname?: string, ready = true) => ({
  addresses: [ip],
  conditions: { ready },
  ...(hostname !== undefined && { hostname }),
})

const zone = createZone('cluster.local')
const add = (object: Service, slices: readonly EndpointSlice[] = []): void => {
  const { name, namespace = '' } = object.metadata
  zone.set({ name, namespace }, namesOf(object, slices))
}
add(service('web', { clusterIP: '10.96.0.5', clusterIPs: ['10.96.0.5', 'fd00::5'] }))
add(service('db', { clusterIP: 'None' }), [
  slice('db', [
    endpoint('10.244.0.2', 'db-0'),
    endpoint('10.244.0.3', 'db-1'),
    endpoint('10.244.0.4', 'db-2', false),
    endpoint('10.244.0.5'),
  ]),
])
add(service('eager', { clusterIP: 'None', publishNotReadyAddresses: true }), [
  slice('eager', [endpoint('10.244.0.9', 'e-0', false)]),
])
add(service('empty', { clusterIP: 'None' }), [slice('empty', [endpoint('10.244.0.7', 'x', false)])])
add(service('outside', { type: 'ExternalName', externalName: 'Example.com.' }))
add(service('inside', { type: 'ExternalName', externalName: 'web.shop.svc.cluster.local' }))

const options = {
  serverAddress: '10.96.0.10',
  ownsAddress: (address: string) => address.startsWith('10.'),
}
const ask = (name: string, type = 'A') => answer({ name, type }, zone, options)
/** Addresses, targets and texts, or the kind of no. */
const brief = (name: string, type = 'A'): readonly string[] | string => {
  const found = ask(name, type)
  if (found.kind !== 'records') return found.kind
  return found.answers.map(show)
}
const show = ({ type, data }: Record): string =>
  type === 'SRV'
    ? `${data.priority} ${data.weight} ${data.port} ${data.target}`
    : typeof data === 'string'
      ? data
      : type

const cases: readonly (readonly [string, string, readonly string[] | string])[] = [
  ['web.shop.svc.cluster.local', 'A', ['10.96.0.5']],
  ['web.shop.svc.cluster.local', 'AAAA', ['fd00::5']],
  ['WEB.shop.SVC.cluster.local', 'A', ['10.96.0.5']],
  ['web.shop.svc.cluster.local', 'MX', 'noData'],
  ['_http._tcp.web.shop.svc.cluster.local', 'SRV', ['0 100 80 web.shop.svc.cluster.local']],
  ['_http._tcp.web.shop.svc.cluster.local', 'A', 'noData'],
  ['_tcp.web.shop.svc.cluster.local', 'A', 'noData'],
  ['_http._udp.web.shop.svc.cluster.local', 'SRV', 'noName'],
  ['x.web.shop.svc.cluster.local', 'A', 'noName'],
  ['db.shop.svc.cluster.local', 'A', ['10.244.0.2', '10.244.0.3', '10.244.0.5']],
  ['db.shop.svc.cluster.local', 'AAAA', 'noData'],
  ['db-1.db.shop.svc.cluster.local', 'A', ['10.244.0.3']],
  ['db-2.db.shop.svc.cluster.local', 'A', 'noName'],
  ['10-244-0-5.db.shop.svc.cluster.local', 'A', ['10.244.0.5']],
  [
    '_http._tcp.db.shop.svc.cluster.local',
    'SRV',
    [
      '0 33 8080 db-0.db.shop.svc.cluster.local',
      '0 33 8080 db-1.db.shop.svc.cluster.local',
      '0 33 8080 10-244-0-5.db.shop.svc.cluster.local',
    ],
  ],
  ['eager.shop.svc.cluster.local', 'A', ['10.244.0.9']],
  ['empty.shop.svc.cluster.local', 'A', 'noName'],
  ['gone.shop.svc.cluster.local', 'A', 'noName'],
  ['shop.svc.cluster.local', 'A', 'noData'],
  ['gone.svc.cluster.local', 'A', 'noName'],
  ['svc.cluster.local', 'A', 'noData'],
  ['cluster.local', 'A', 'noData'],
  ['cluster.local', 'SOA', ['SOA']],
  ['cluster.local', 'NS', ['ns.dns.cluster.local']],
  ['ns.dns.cluster.local', 'A', ['10.96.0.10']],
  ['elsewhere.cluster.local', 'A', 'noName'],
  ['dns-version.cluster.local', 'TXT', ['1.1.0']],
  ['dns-version.cluster.local', 'A', 'noData'],
  ['10-244-0-5.shop.pod.cluster.local', 'A', ['10.244.0.5']],
  ['10-244-0-5.shop.pod.cluster.local', 'AAAA', 'noData'],
  ['fd00--5.shop.pod.cluster.local', 'AAAA', ['fd00::5']],
  ['nothing.shop.pod.cluster.local', 'A', 'noName'],
  ['5.0.96.10.in-addr.arpa', 'PTR', ['web.shop.svc.cluster.local']],
  ['2.0.244.10.in-addr.arpa', 'PTR', ['db-0.db.shop.svc.cluster.local']],
  ['5.0.96.10.in-addr.arpa', 'A', 'noData'],
  ['9.9.96.10.in-addr.arpa', 'PTR', 'noName'],
  ['8.8.8.8.in-addr.arpa', 'PTR', 'forward'],
  [`5.${'0.'.repeat(27)}0.0.d.f.ip6.arpa`, 'PTR', 'forward'],
  ['outside.shop.svc.cluster.local', 'A', 'alias'],
  ['outside.shop.svc.cluster.local', 'CNAME', ['example.com']],
  ['inside.shop.svc.cluster.local', 'A', ['web.shop.svc.cluster.local', '10.96.0.5']],
  ['example.com', 'A', 'forward'],
  ['notcluster.local', 'A', 'forward'],
]
for (const [name, type, expected] of cases) {
  test(`${type} of ${name}: ${String(expected)}`, () =>
    assert.deepEqual(brief(name, type), expected))
}

test('service records bring the addresses of their targets along', () => {
  const found = ask('_http._tcp.db.shop.svc.cluster.local', 'SRV')
  assert.ok(found.kind === 'records')
  assert.deepEqual(
    found.additionals.map((record) => `${record.name} ${show(record)}`),
    [
      'db-0.db.shop.svc.cluster.local 10.244.0.2',
      'db-1.db.shop.svc.cluster.local 10.244.0.3',
      '10-244-0-5.db.shop.svc.cluster.local 10.244.0.5',
    ],
  )
})

test('an alias that leads to itself ends', () => {
  const round = createZone('cluster.local')
  const loop = service('loop', {
    type: 'ExternalName',
    externalName: 'loop.shop.svc.cluster.local',
  })
  round.set({ name: 'loop', namespace: 'shop' }, namesOf(loop, []))
  const found = answer({ name: 'loop.shop.svc.cluster.local', type: 'A' }, round, options)
  assert.equal(found.kind, 'records')
})

test('a Service that goes takes its names, reverse names and namespace along', () => {
  const small = createZone('cluster.local')
  const key = { name: 'web', namespace: 'shop' }
  small.set(key, namesOf(service('web', { clusterIP: '10.96.0.5' }), []))
  const { serial } = small
  small.set(key, undefined)
  assert.ok(small.serial > serial)
  for (const [name, type] of [
    ['web.shop.svc.cluster.local', 'A'],
    ['shop.svc.cluster.local', 'A'],
    ['5.0.96.10.in-addr.arpa', 'PTR'],
  ] as const)
    assert.equal(answer({ name, type }, small, options).kind, 'noName')
})

test('reverse names of IPv6 are read by nibbles', () => {
  const name = `${'fd000000000000000000000000000005'.split('').toReversed().join('.')}.ip6.arpa`
  assert.equal(addressOfReverse(name), 'fd00:0000:0000:0000:0000:0000:0000:0005')
})

test('resolvers are read from the host, but for ourselves', () => {
  const text =
    '# x\nsearch a b\nnameserver 10.244.0.1\n nameserver 192.0.2.1 # y\nnameserver fe80::1%eth0\n'
  assert.deepEqual(
    parseResolvers(text, (host) => host === '10.244.0.1').map(({ host }) => host),
    ['192.0.2.1', 'fe80::1'],
  )
})

test('messages come whole out of a stream, however it is cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
      (messages, sizes) => {
        const bytes = Buffer.concat(messages.map(frame))
        const got: Uint8Array[] = []
        const push = deframer((message) => got.push(message))
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const size = sizes[i % sizes.length] ?? 1
          push(bytes.subarray(at, at + size))
          at += size
        }
        assert.deepEqual(
          got.map((m) => Buffer.from(m)),
          messages.map((m) => Buffer.from(m)),
        )
      },
    ),
  )
})

test('damaged messages are seen to be', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => void survey(bytes)))
  assert.equal(survey(new Uint8Array(5)), undefined)
})

const always =
  <T>(...objects: readonly T[]): Follow<T> =>
  async (onChange) => {
    for (const object of objects) onChange({ type: 'set', object })
  }
const query = (name: string, type = 'A', more: Partial<Packet> = {}): Buffer =>
  encode({
    id: 7,
    type: 'query',
    flags: RECURSION_DESIRED,
    questions: [{ name, type, class: 'IN' }],
    ...more,
  })

/** A server in a world of its own, with an upstream that counts. */
async function world(upstreamAnswers: (question: Question) => Partial<Packet> | undefined) {
  const env = virtualEnv()
  let asked = 0
  const upstream = await env.net.udp({ host: '192.0.2.1', port: 53 }, (message, from) => {
    asked++
    const packet = parseMessage(message)
    const reply = upstreamAnswers(packet.questions[0]!)
    if (reply)
      upstream.send(
        encode({ id: packet.id, type: 'response', questions: packet.questions, ...reply }),
        from.address === '0.0.0.0' ? { ...from, address: '0.0.0.0' } : from,
      )
  })
  const many = Array.from({ length: 200 }, (_, n) => endpoint(`10.244.1.${n}`))
  const abort = new AbortController()
  const dns = await startDns(
    {
      env,
      services: always(
        service('web', { clusterIP: '10.96.0.5' }),
        service('many', { clusterIP: 'None' }),
        service('outside', { type: 'ExternalName', externalName: 'example.com' }),
      ),
      endpointSlices: always(slice('many', many)),
      address: '10.244.0.1',
      clusterIP: '10.96.0.10',
      clusterCidr: '10.244.0.0/16',
      serviceCidr: '10.96.0.0/16',
      upstreams: [{ host: '192.0.2.1', port: 53 }],
    },
    abort.signal,
  )
  const send = async (message: Uint8Array): Promise<Required<Packet> | undefined> => {
    let reply: Uint8Array | undefined
    const socket = await env.net.udp({ host: '10.244.0.9', port: 0 }, (bytes) => (reply = bytes))
    socket.send(message, { address: dns.address, port: dns.port })
    await env.settle()
    await env.settle()
    await socket.close()
    return reply && parseMessage(reply)
  }
  const sendTcp = async (message: Uint8Array): Promise<Required<Packet>> => {
    const socket = await env.net.connect({ host: dns.address, port: dns.port })
    const reply = new Promise<Uint8Array>((resolve) => socket.on('data', deframer(resolve)))
    socket.write(frame(message))
    const packet = parseMessage(await reply)
    socket.destroy()
    return packet
  }
  return { env, dns, send, sendTcp, asked: () => asked }
}
const fromExample: Record = {
  name: 'example.com',
  type: 'A',
  ttl: 60,
  class: 'IN',
  data: '192.0.2.80',
}

test('the server answers for the cluster with authority, and repeats the question as it was asked', async () => {
  const { send, dns } = await world(() => undefined)
  const reply = await send(query('WeB.shop.svc.cluster.local'))
  assert.equal(reply?.id, 7)
  assert.equal(reply?.rcode, 'NOERROR')
  assert.deepEqual(reply?.questions[0]?.name, 'WeB.shop.svc.cluster.local')
  assert.deepEqual(reply?.answers.map(show), ['10.96.0.5'])
  assert.equal(reply?.answers[0]?.ttl, 5)
  assert.equal((reply?.flags ?? 0) & 0x0400, 0x0400)
  const no = await send(query('gone.shop.svc.cluster.local'))
  assert.equal(no?.rcode, 'NXDOMAIN')
  assert.equal(no?.authorities[0]?.type, 'SOA')
  const nothing = await send(query('web.shop.svc.cluster.local', 'AAAA'))
  assert.equal(nothing?.rcode, 'NOERROR')
  assert.deepEqual(nothing?.answers, [])
  assert.equal(nothing?.authorities[0]?.type, 'SOA')
  await dns.stop()
})

test('what does not fit a datagram is cut, with EDNS later, and whole over TCP', async () => {
  const { send, sendTcp } = await world(() => undefined)
  const name = 'many.shop.svc.cluster.local'
  const plain = await send(query(name))
  assert.equal((plain?.flags ?? 0) & 0x0200, 0x0200)
  const opt = { type: 'OPT', name: '.', udpPayloadSize: 4096 } as const
  const more = await send(query(name, 'A', { additionals: [opt] }))
  assert.ok((more?.answers.length ?? 0) > (plain?.answers.length ?? 0))
  assert.equal(more?.additionals[0]?.type, 'OPT')
  const whole = await sendTcp(query(name))
  assert.equal(whole.answers.length, 200)
  assert.equal(whole.flags & 0x0200, 0)
})

test('addresses take turns', async () => {
  const { sendTcp } = await world(() => undefined)
  const first = async () => show((await sendTcp(query('many.shop.svc.cluster.local'))).answers[0]!)
  assert.notEqual(await first(), await first())
})

test('other names are asked once while the answer holds, and its time runs down', async () => {
  const { env, send, asked } = await world(() => ({ answers: [fromExample] }))
  assert.deepEqual((await send(query('example.com')))?.answers.map(show), ['192.0.2.80'])
  await env.advance(20_000)
  const [kept] = (await send(query('EXAMPLE.com')))?.answers ?? []
  assert.equal(kept?.ttl, 40)
  assert.equal(asked(), 1)
  await env.advance(60_000)
  await send(query('example.com'))
  assert.equal(asked(), 2)
})

test('a name that does not exist outside is remembered only as long as its authority says', async () => {
  const soa: Record = {
    name: 'com',
    type: 'SOA',
    ttl: 900,
    class: 'IN',
    data: { mname: 'a', rname: 'b', serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 10 },
  }
  const { env, send, asked } = await world(() => ({ flags: 3, authorities: [soa] }))
  assert.equal((await send(query('gone.com')))?.rcode, 'NXDOMAIN')
  await env.advance(5_000)
  await send(query('gone.com'))
  assert.equal(asked(), 1)
  await env.advance(6_000)
  await send(query('gone.com'))
  assert.equal(asked(), 2)
})

test('an alias to another zone comes with what it leads to', async () => {
  const { send } = await world(({ name }) =>
    name === 'example.com' ? { answers: [fromExample] } : undefined,
  )
  const reply = await send(query('outside.shop.svc.cluster.local'))
  assert.deepEqual(reply?.answers.map(show), ['example.com', '192.0.2.80'])
})

test('without an answer from outside the client hears of a failure in time', async () => {
  const { env } = await world(() => undefined)
  const forwarder = createForwarder({
    env,
    upstreams: async () => [{ host: '192.0.2.1', port: 53 }],
  })
  const reply = forwarder.ask(query('slow.com'), 'slow.com A', 'udp')
  await env.advance(4_500)
  assert.equal(await reply, undefined)
  const nobody = createForwarder({ env, upstreams: async () => [] })
  assert.equal(await nobody.ask(query('slow.com'), 'slow.com A', 'udp'), undefined)
})

test('what is no question gets no answer, and a broken one is told so', async () => {
  const { send } = await world(() => undefined)
  assert.equal(await send(encode({ id: 1, type: 'response' })), undefined)
  assert.equal(await send(new Uint8Array(3)), undefined)
  assert.equal((await send(encode({ id: 1, type: 'query' })))?.rcode, 'FORMERR')
  const two = query('a.com', 'A', {
    questions: [
      { name: 'a.com', type: 'A' },
      { name: 'b.com', type: 'A' },
    ],
  })
  assert.equal((await send(two))?.rcode, 'FORMERR')
  const update = Buffer.from(query('web.shop.svc.cluster.local'))
  update[2] = 5 << 3
  assert.equal((await send(update))?.rcode, 'NOTIMP')
})
