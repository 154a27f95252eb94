/** Questions about the rest of the world go to the host's own resolvers; answers are kept as long as they say. */
import type { Env } from '#base'
import { deframer, frame, idOf, renew, survey } from './message.ts'

export interface Forwarder {
  /** The answer to a question, given and returned as a message; undefined: no resolver answered. */
  ask(
    query: Uint8Array,
    cacheKey: string,
    transport: 'udp' | 'tcp',
  ): Promise<Uint8Array | undefined>
}

export interface Upstream {
  readonly host: string
  readonly port: number
}

export interface ForwarderOptions {
  readonly env: Pick<Env, 'clock' | 'net' | 'random' | 'log'>
  /** Asked before each question that the cache does not know. */
  readonly upstreams: () => Promise<readonly Upstream[]>
}

const CACHE_ENTRIES = 4_096
const MAX_KEEP_SECONDS = 3_600
const MAX_KEEP_NO_SECONDS = 30
/** For one resolver; a client waits 5 s in all before it asks again. */
const ATTEMPT_MS = 1_500
const MAX_ATTEMPTS = 3
/** Questions under way; more are refused rather than queued. */
const MAX_UNDER_WAY = 1_000
const MAX_MESSAGE_BYTES = 65_535

interface Entry {
  readonly message: Uint8Array
  readonly ttlOffsets: readonly number[]
  /** Seconds on the monotonic clock. */
  readonly since: number
  readonly until: number
}

export function createForwarder({ env, upstreams }: ForwarderOptions): Forwarder {
  const log = env.log.for('dns')
  /** The least recently used first. */
  const cache = new Map<string, Entry>()
  const underWay = new Map<string, Promise<Uint8Array | undefined>>()
  const nowSeconds = (): number => env.clock.monotonic() / 1000
  const freshId = (): number => {
    const [high = 0, low = 0] = env.random.bytes(2)
    return (high << 8) | low
  }

  const cached = (key: string, id: number): Uint8Array | undefined => {
    const entry = cache.get(key)
    if (entry === undefined) return undefined
    cache.delete(key)
    const now = nowSeconds()
    if (now >= entry.until) return undefined
    cache.set(key, entry)
    return renew(entry.message, {
      id,
      ttlOffsets: entry.ttlOffsets,
      ageSeconds: Math.floor(now - entry.since),
    })
  }
  const keep = (key: string, message: Uint8Array): void => {
    const seen = survey(message)
    if (seen?.keepSeconds === undefined || seen.truncated) return
    const limit = seen.answers > 0 ? MAX_KEEP_SECONDS : MAX_KEEP_NO_SECONDS
    const seconds = Math.min(seen.keepSeconds, limit)
    if (seconds <= 0) return
    const now = nowSeconds()
    cache.set(key, { message, ttlOffsets: seen.ttlOffsets, since: now, until: now + seconds })
    for (const oldest of cache.keys()) {
      if (cache.size <= CACHE_ENTRIES) break
      cache.delete(oldest)
    }
  }

  const overUdp = async (query: Uint8Array, to: Upstream): Promise<Uint8Array> => {
    const timeout = deadline(env.clock)
    // A socket, and so a port, for each question: an answer is hard to forge.
    const socket = await env.net.udp(
      { host: to.host.includes(':') ? '::' : '0.0.0.0', port: 0 },
      (message, from) => {
        if (from.address === to.host && from.port === to.port && idOf(message) === idOf(query))
          timeout.resolve(message)
      },
    )
    try {
      socket.send(query, { address: to.host, port: to.port })
      return await timeout.result
    } finally {
      timeout.cancel()
      await socket.close()
    }
  }
  const overTcp = async (query: Uint8Array, to: Upstream): Promise<Uint8Array> => {
    const timeout = deadline(env.clock)
    const socket = await env.net.connect(to, timeout.signal)
    try {
      socket.on(
        'data',
        deframer((message) => timeout.resolve(message)),
      )
      socket.once('error', timeout.reject)
      socket.once('close', () => timeout.reject(new Error('the connection ended')))
      socket.write(frame(query))
      return await timeout.result
    } finally {
      timeout.cancel()
      socket.destroy()
    }
  }

  const resolve = async (
    query: Uint8Array,
    transport: 'udp' | 'tcp',
  ): Promise<Uint8Array | undefined> => {
    const servers = await upstreams()
    let last: unknown = 'there is no resolver in /etc/resolv.conf but this one'
    let failed: Uint8Array | undefined
    for (let attempt = 0; attempt < MAX_ATTEMPTS && servers.length > 0; attempt++) {
      const server = servers[attempt % servers.length]!
      const own = renew(query, { id: freshId(), ttlOffsets: [], ageSeconds: 0 })
      try {
        const answer = await (transport === 'tcp' ? overTcp : overUdp)(own, server)
        const rcode = (answer[3] ?? 0) & 0xf
        // Another resolver may know better: server failure, refused.
        if (rcode !== 2 && rcode !== 5) return answer
        failed = answer
        if (attempt + 1 >= servers.length) return answer
      } catch (error) {
        last = error
      }
    }
    if (failed === undefined) log.debug('no resolver answered', { error: last })
    return failed
  }

  return {
    async ask(query, cacheKey, transport) {
      if (query.length > MAX_MESSAGE_BYTES) return undefined
      const id = idOf(query)
      const known = cached(cacheKey, id)
      if (known !== undefined) return known
      const flight = `${transport} ${cacheKey}`
      let pending = underWay.get(flight)
      if (pending === undefined) {
        if (underWay.size >= MAX_UNDER_WAY) return undefined
        pending = resolve(query, transport).finally(() => underWay.delete(flight))
        underWay.set(flight, pending)
      }
      const message = await pending
      if (message === undefined) return undefined
      keep(cacheKey, message)
      return renew(message, { id, ttlOffsets: [], ageSeconds: 0 })
    },
  }
}

function deadline(clock: Env['clock']): {
  readonly result: Promise<Uint8Array>
  readonly signal: AbortSignal
  readonly resolve: (message: Uint8Array) => void
  readonly reject: (reason: unknown) => void
  readonly cancel: () => void
} {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
  const abort = new AbortController()
  const cancel = clock.schedule(ATTEMPT_MS, () => {
    const late = new Error(`no answer in ${ATTEMPT_MS} ms`)
    reject(late)
    abort.abort(late)
  })
  // Who is not waiting any more need not hear of it.
  promise.catch(() => undefined)
  return { result: promise, signal: abort.signal, resolve, reject, cancel }
}

/** The servers in a resolv.conf(5), but for ourselves: asking them would go round in circles. */
export function parseResolvers(
  resolvConf: string,
  isSelf: (address: string) => boolean,
): readonly Upstream[] {
  return resolvConf
    .split('\n')
    .flatMap((line) => /^\s*nameserver\s+([^\s%#;]+)/.exec(line)?.[1] ?? [])
    .filter((host) => !isSelf(host))
    .slice(0, MAX_ATTEMPTS)
    .map((host) => ({ host, port: 53 }))
}
