/** The cluster's name server: listens on UDP and TCP, answers for the cluster, and passes on the rest. */
import {
  AUTHORITATIVE_ANSWER,
  CHECKING_DISABLED,
  encode,
  type OptRecord,
  type Packet,
  type Question,
  type Record,
  RECURSION_AVAILABLE,
  RECURSION_DESIRED,
  TRUNCATED_RESPONSE,
} from 'dns-packet'
import type { Duplex } from 'node:stream'
import type { EndpointSlice, Service } from '#api'
import type { Env, Listener, UdpSocket } from '#base'
import { parseKey } from '#machinery'
import type { Follow } from '../follow.ts'
import { type Cidr, cidrContains, mustParseCidr } from '../ip.ts'
import { answer, type Answer, authority } from './answer.ts'
import { createForwarder, type Forwarder, parseResolvers, type Upstream } from './forward.ts'
import { deframer, frame, idOf, parseMessage } from './message.ts'
import { followServices, type ServiceIndex } from '../service-index.ts'
import { createZone, namesOf, type Zone } from './zone.ts'

/** Which names the server knows, and whom it asks about others. */
export interface DnsOptions {
  readonly env: Pick<Env, 'clock' | 'fs' | 'net' | 'random' | 'log'>
  readonly services: Follow<Service>
  readonly endpointSlices: Follow<EndpointSlice>
  /** Where to listen: the node's address on the pods' bridge. */
  readonly address: string
  /** Default: 53, or any free one when that is taken. */
  readonly port?: number
  /** The cluster IP of the kube-dns Service. */
  readonly clusterIP: string
  /** Default: cluster.local. */
  readonly clusterDomain?: string
  /** Ranges whose reverse names are ours alone. */
  readonly clusterCidr: string
  readonly serviceCidr: string
  /** Default: those of /etc/resolv.conf. */
  readonly upstreams?: readonly Upstream[]
}

/** A server of names that runs. */
export interface Dns {
  readonly address: string
  readonly port: number
  stop(): Promise<void>
}

const DNS_PORT = 53
const RESOLV_CONF = '/etc/resolv.conf'
/** How old our copy of it may be when a question needs it. */
const RESOLV_CONF_AGE_MS = 5_000
const PLAIN_UDP_BYTES = 512
/** Fits every path without fragments (DNS flag day 2020). */
const EDNS_UDP_BYTES = 1_232
const MAX_TCP_CONNECTIONS = 200
const TCP_IDLE_MS = 10_000
const RCODE = { formatError: 1, serverFailure: 2, noName: 3, notImplemented: 4 } as const

/** Resolves when the names of everything that was there at the beginning are answered. */
export async function startDns(options: DnsOptions, signal: AbortSignal): Promise<Dns> {
  const { env, address, clusterDomain = 'cluster.local' } = options
  const log = env.log.for('dns')
  const stopping = new AbortController()
  const ended = AbortSignal.any([signal, stopping.signal])
  const zone = await followZone(options, clusterDomain, ended)
  const ranges = [mustParseCidr(options.clusterCidr), mustParseCidr(options.serviceCidr)]
  const resolver = createResolver({
    zone,
    serverAddress: options.clusterIP,
    ranges,
    forwarder: createForwarder({
      env,
      upstreams: options.upstreams
        ? async () => options.upstreams ?? []
        : hostResolvers(env, (host) => host === address || host === options.clusterIP),
    }),
  })

  const respond = async (query: Uint8Array, transport: 'udp' | 'tcp') => {
    try {
      return await resolver(query, transport)
    } catch (error) {
      log.warn('a question could not be answered', { error })
      return undefined
    }
  }
  const bind = async (port: number): Promise<{ udp: UdpSocket; tcp: Listener; port: number }> => {
    const udp: UdpSocket = await env.net.udp({ host: address, port }, (query, from) => {
      void respond(query, 'udp').then((reply) => reply && udp.send(reply, from))
    })
    try {
      const tcp = await env.net.listen({ host: address, port: udp.port }, serveTcp(env, respond))
      return { udp, tcp, port: udp.port }
    } catch (error) {
      await udp.close()
      throw error
    }
  }
  let bound: Awaited<ReturnType<typeof bind>>
  try {
    bound = await bind(options.port ?? DNS_PORT)
  } catch (error) {
    if (options.port !== undefined) throw error
    // Another name server listens on all addresses. Clients come through the Service, whatever the port.
    log.info('port 53 is taken; listening on another', { address, error })
    bound = await bind(0)
  }
  log.info('names are served', { address, port: bound.port, domain: zone.domain })
  return {
    address,
    port: bound.port,
    async stop() {
      stopping.abort()
      await Promise.all([bound.udp.close(), bound.tcp.close()])
    },
  }
}

async function followZone(
  sources: Pick<DnsOptions, 'services' | 'endpointSlices'>,
  domain: string,
  signal: AbortSignal,
): Promise<Zone> {
  const zone = createZone(domain)
  let index: ServiceIndex | undefined
  const refresh = (key: string): void => {
    const { name, namespace = '' } = parseKey(key)
    const service = index?.service(key)
    zone.set({ name, namespace }, service && namesOf(service, index?.slices(key) ?? []))
  }
  index = await followServices(sources, (key) => index && refresh(key), signal)
  for (const key of index.keys()) refresh(key)
  return zone
}

/** Reads the host's file again when a question needs it and our copy is old. */
function hostResolvers(
  env: Pick<Env, 'clock' | 'fs'>,
  isSelf: (address: string) => boolean,
): () => Promise<readonly Upstream[]> {
  let readAt = Number.NEGATIVE_INFINITY
  let current: readonly Upstream[] = []
  return async () => {
    if (env.clock.monotonic() - readAt > RESOLV_CONF_AGE_MS) {
      readAt = env.clock.monotonic()
      current = parseResolvers(await env.fs.readText(RESOLV_CONF).catch(() => ''), isSelf)
    }
    return current
  }
}

/** Turns a question's message into an answer's message; undefined: no answer is due. */
function createResolver({
  zone,
  serverAddress,
  ranges,
  forwarder,
}: {
  readonly zone: Zone
  readonly serverAddress: string
  readonly ranges: readonly Cidr[]
  readonly forwarder: Forwarder
}): (query: Uint8Array, transport: 'udp' | 'tcp') => Promise<Uint8Array | undefined> {
  const ownsAddress = (address: string): boolean =>
    ranges.some((range) => cidrContains(range, address))
  let turn = 0
  /** Clients take the first address: each gets another one. */
  const rotate = (records: readonly Record[]): readonly Record[] => {
    const front = records.filter(({ type }) => type !== 'A' && type !== 'AAAA')
    const addresses = records.filter(({ type }) => type === 'A' || type === 'AAAA')
    if (addresses.length < 2) return records
    const by = turn++ % addresses.length
    return [...front, ...addresses.slice(by), ...addresses.slice(0, by)]
  }

  return async (query, transport) => {
    let asked: Required<Packet>
    try {
      asked = parseMessage(query)
    } catch {
      return query.length < 12 ? undefined : bare(query, RCODE.formatError)
    }
    // An answer to an answer would never end.
    if (asked.type !== 'query') return undefined
    if (asked.opcode !== 'QUERY') return bare(query, RCODE.notImplemented)
    const [question, ...more] = asked.questions
    if (question === undefined || more.length > 0) return bare(query, RCODE.formatError)
    const edns = asked.additionals.find((record): record is OptRecord => record.type === 'OPT')
    const limit =
      transport === 'tcp'
        ? 65_535
        : Math.min(
            EDNS_UDP_BYTES,
            Math.max(PLAIN_UDP_BYTES, edns?.udpPayloadSize ?? PLAIN_UDP_BYTES),
          )
    const found = answer(question, zone, { serverAddress, ownsAddress })
    if (found.kind === 'forward') {
      const reply = await forwarder.ask(query, cacheKey(asked, question, edns), transport)
      return reply ?? bare(query, RCODE.serverFailure)
    }
    const reply = await complete(found, asked, forwarder, transport)
    if (reply === undefined) return bare(query, RCODE.serverFailure)
    return fit(
      {
        ...reply,
        id: asked.id,
        type: 'response',
        questions: [question],
        answers: rotate(reply.answers ?? []),
        flags:
          (reply.flags ?? 0) |
          AUTHORITATIVE_ANSWER |
          RECURSION_AVAILABLE |
          (asked.flags & RECURSION_DESIRED),
        additionals: [
          ...(reply.additionals ?? []),
          ...(edns ? [{ type: 'OPT', name: '.', udpPayloadSize: EDNS_UDP_BYTES } as const] : []),
        ],
      },
      limit,
    )
  }

  async function complete(
    found: Exclude<Answer, { kind: 'forward' }>,
    asked: Required<Packet>,
    onward: Forwarder,
    transport: 'udp' | 'tcp',
  ): Promise<Packet | undefined> {
    switch (found.kind) {
      case 'records':
        return { answers: found.answers, additionals: found.additionals }
      case 'noData':
        return { authorities: [authority(zone)] }
      case 'noName':
        return { authorities: [authority(zone)], flags: RCODE.noName }
      case 'alias': {
        const [question] = asked.questions
        const target: Question = { name: found.target, type: question?.type ?? 'A', class: 'IN' }
        const query: Packet = {
          id: asked.id,
          type: 'query',
          flags: RECURSION_DESIRED,
          questions: [target],
        }
        const message = await onward.ask(
          encode(query),
          cacheKey(query, target, undefined),
          transport,
        )
        // Where the alias leads cannot be said, but that it is one can.
        if (message === undefined) return { answers: [found.alias] }
        const rest = parseMessage(message)
        return {
          answers: [found.alias, ...rest.answers],
          flags: rest.flags & 0xf,
          ...(rest.authorities.length > 0 && { authorities: rest.authorities }),
        }
      }
    }
  }
}

const cacheKey = (packet: Packet, { name, type, class: of }: Question, edns?: OptRecord): string =>
  [
    name.toLowerCase(),
    type,
    of ?? 'IN',
    (packet.flags ?? 0) & (CHECKING_DISABLED | RECURSION_DESIRED),
    edns ? (edns.flags ?? 0) : '',
  ].join(' ')

/** Header and question, and nothing but a code. */
function bare(query: Uint8Array, rcode: number): Uint8Array {
  const reply = query.slice(0, 12)
  reply[2] = 0x80 | ((query[2] ?? 0) & 0x79)
  reply[3] = 0x80 | rcode
  reply.fill(0, 4)
  try {
    const [question] = parseMessage(query).questions
    if (question === undefined) return reply
    return encode({
      id: idOf(query),
      type: 'response',
      flags: RECURSION_AVAILABLE | ((query[2] ?? 0) & 1 ? RECURSION_DESIRED : 0) | rcode,
      questions: [question],
    })
  } catch {
    return reply
  }
}

/** What does not fit a datagram is left out, extras first, and the client told to come by TCP. */
function fit(packet: Packet, limit: number): Uint8Array {
  const whole = encode(packet)
  if (whole.length <= limit) return whole
  const opt = (packet.additionals ?? []).filter(({ type }) => type === 'OPT')
  const lean = { ...packet, additionals: opt }
  const without = encode(lean)
  if (without.length <= limit) return without
  const answers = packet.answers ?? []
  let [fits, tooMany] = [0, answers.length]
  const cut = (count: number): Uint8Array =>
    encode({
      ...lean,
      answers: answers.slice(0, count),
      flags: (packet.flags ?? 0) | TRUNCATED_RESPONSE,
    })
  while (tooMany - fits > 1) {
    const middle = (fits + tooMany) >> 1
    if (cut(middle).length <= limit) fits = middle
    else tooMany = middle
  }
  return cut(fits)
}

function serveTcp(
  { clock }: Pick<Env, 'clock'>,
  respond: (query: Uint8Array, transport: 'tcp') => Promise<Uint8Array | undefined>,
): (socket: Duplex) => void {
  let open = 0
  return (socket) => {
    if (open >= MAX_TCP_CONNECTIONS) {
      socket.destroy()
      return
    }
    open++
    let cancel = (): void => undefined
    const rest = (): void => {
      cancel()
      cancel = clock.schedule(TCP_IDLE_MS, () => socket.destroy())
    }
    rest()
    socket.once('close', () => {
      open--
      cancel()
    })
    // A client that goes away has its reasons.
    socket.on('error', () => socket.destroy())
    socket.on('end', () => socket.end())
    socket.on(
      'data',
      deframer((query) => {
        rest()
        void respond(query, 'tcp').then((reply) => {
          if (reply && !socket.destroyed && !socket.writableEnded) socket.write(frame(reply))
        })
      }),
    )
  }
}
