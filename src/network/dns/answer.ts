/** What the cluster's zone answers to a question: pure. */
import type { Question, Record } from 'dns-packet'
import { isIPv4 } from '../ip.ts'
import type { Names, Zone } from './zone.ts'

export type Answer =
  | {
      readonly kind: 'records'
      readonly answers: readonly Record[]
      readonly additionals: readonly Record[]
    }
  /** The name exists, and has no record of this type. */
  | { readonly kind: 'noData' }
  | { readonly kind: 'noName' }
  /** An alias to a name outside: the caller looks that up, and puts this in front. */
  | { readonly kind: 'alias'; readonly alias: Record; readonly target: string }
  /** Not our business. */
  | { readonly kind: 'forward' }

/** Seconds: short, as endpoints come and go. */
const TTL_SECONDS = 5
/** Of the specification that we follow; told in a TXT record. */
const SCHEMA_VERSION = '1.1.0'
/** Aliases that lead to aliases are followed this far. */
const MAX_ALIASES = 8

const noData: Answer = { kind: 'noData' }
const noName: Answer = { kind: 'noName' }
const records = (answers: readonly Record[], additionals: readonly Record[] = []): Answer =>
  answers.length === 0 ? noData : { kind: 'records', answers, additionals }

export interface AnswerOptions {
  /** Address of the name server itself, for ns.dns. */
  readonly serverAddress: string
  /** Whether a reverse name in here is ours alone: pod and Service ranges. */
  readonly ownsAddress: (address: string) => boolean
}

export function answer(
  { name, type, class: of = 'IN' }: Question,
  zone: Zone,
  options: AnswerOptions,
): Answer {
  const wanted = name.replace(/\.$/, '').toLowerCase()
  if (of !== 'IN') return { kind: 'forward' }
  const address = addressOfReverse(wanted)
  if (address !== undefined) return reverse(name, type, address, zone, options)
  if (wanted !== zone.domain && !wanted.endsWith(`.${zone.domain}`)) return { kind: 'forward' }
  return inZone(name, wanted, type, zone, options, 0)
}

/** The start of authority: tells how long a no may be remembered. */
export const authority = ({ domain, serial }: Zone): Record => ({
  name: domain,
  type: 'SOA',
  ttl: TTL_SECONDS,
  class: 'IN',
  data: {
    mname: `ns.dns.${domain}`,
    rname: `hostmaster.${domain}`,
    serial,
    refresh: 7200,
    retry: 1800,
    expire: 86_400,
    minimum: TTL_SECONDS,
  },
})

function inZone(
  asked: string,
  wanted: string,
  type: string,
  zone: Zone,
  options: AnswerOptions,
  depth: number,
): Answer {
  const { domain } = zone
  const labels = wanted === domain ? [] : wanted.slice(0, -domain.length - 1).split('.')
  const kind = labels.at(-1)
  const at = { name: asked, ttl: TTL_SECONDS, class: 'IN' } as const
  if (kind === undefined) {
    if (type === 'SOA') return records([authority(zone)])
    if (type === 'NS') return records([{ ...at, type: 'NS', data: `ns.dns.${domain}` }])
    return noData
  }
  if (kind === 'dns-version' && labels.length === 1)
    return type === 'TXT' ? records([{ ...at, type: 'TXT', data: SCHEMA_VERSION }]) : noData
  if (kind === 'dns') {
    if (labels.length === 1) return noData
    if (labels.length > 2 || labels[0] !== 'ns') return noName
    return type === 'A' ? records([{ ...at, type: 'A', data: options.serverAddress }]) : noData
  }
  if (kind === 'pod') return pod(asked, labels, type, zone)
  if (kind !== 'svc') return noName
  const [service, namespace] = [labels.at(-3), labels.at(-2)]
  if (namespace === undefined) return noData
  if (service === undefined) return zone.hasNamespace(namespace) ? noData : noName
  const found = zone.service(`${service}.${namespace}`)
  if (found === undefined) return noName
  const base = `${service}.${namespace}.svc.${domain}`
  if (found.alias !== undefined && labels.length === 3)
    return followAlias(asked, found.alias, type, zone, options, depth)
  const names = found.names.get(labels.slice(0, -3).join('.'))
  if (names === undefined) return noName
  return ofNames(at, names, type, base, (target) => found.names.get(target))
}

function ofNames(
  at: { readonly name: string; readonly ttl: number; readonly class: 'IN' },
  names: Names,
  type: string,
  base: string,
  below: (target: string) => Names | undefined,
): Answer {
  if (type === 'A') return records(names.a.map((data) => ({ ...at, type: 'A', data })))
  if (type === 'AAAA') return records(names.aaaa.map((data) => ({ ...at, type: 'AAAA', data })))
  if (type !== 'SRV') return noData
  const full = (target: string): string => (target === '' ? base : `${target}.${base}`)
  const targets = [...new Set(names.srv.map(({ target }) => target))]
  return records(
    names.srv.map(({ port, weight, target }) => ({
      ...at,
      type: 'SRV',
      data: { priority: 0, weight, port, target: full(target) },
    })),
    targets.flatMap((target): Record[] => {
      const { a = [], aaaa = [] } = below(target) ?? {}
      const of = { ...at, name: full(target) }
      return [
        ...a.map((data) => ({ ...of, type: 'A' as const, data })),
        ...aaaa.map((data) => ({ ...of, type: 'AAAA' as const, data })),
      ]
    }),
  )
}

function followAlias(
  asked: string,
  target: string,
  type: string,
  zone: Zone,
  options: AnswerOptions,
  depth: number,
): Answer {
  const alias: Record = {
    name: asked,
    type: 'CNAME',
    ttl: TTL_SECONDS,
    class: 'IN',
    data: target,
  }
  if (type === 'CNAME' || depth >= MAX_ALIASES) return records([alias])
  const inside = target === zone.domain || target.endsWith(`.${zone.domain}`)
  if (!inside) return { kind: 'alias', alias, target }
  const rest = inZone(target, target, type, zone, options, depth + 1)
  if (rest.kind === 'records') return { ...rest, answers: [alias, ...rest.answers] }
  // An alias of an alias: the one in front is enough for a resolver to go on by itself.
  return records([alias])
}

/** `10-244-0-5.shop.pod.cluster.local`: the name says it all. */
function pod(asked: string, labels: readonly string[], type: string, zone: Zone): Answer {
  const [address, namespace] = [labels.at(-3), labels.at(-2)]
  if (namespace === undefined) return noData
  if (address === undefined) return zone.hasNamespace(namespace) ? noData : noName
  if (labels.length > 3) return noName
  const v4 = address.replaceAll('-', '.')
  const at = { name: asked, ttl: TTL_SECONDS, class: 'IN' } as const
  if (isIPv4(v4)) return type === 'A' ? records([{ ...at, type: 'A', data: v4 }]) : noData
  const v6 = address.replaceAll('-', ':')
  if (!isIPv6(v6)) return noName
  return type === 'AAAA' ? records([{ ...at, type: 'AAAA', data: v6 }]) : noData
}

/** Eight groups of hexadecimal digits, or fewer around one `::` (RFC 4291 §2.2). */
function isIPv6(text: string): boolean {
  const halves = text.split('::')
  const groups = halves.flatMap((half) => (half === '' ? [] : half.split(':')))
  if (halves.length > 2 || !groups.every((group) => /^[0-9a-f]{1,4}$/.test(group))) return false
  return halves.length === 2 ? groups.length < 8 : groups.length === 8
}

function reverse(
  asked: string,
  type: string,
  address: string,
  zone: Zone,
  { ownsAddress }: AnswerOptions,
): Answer {
  const names = zone.reverse(address)
  if (names.length === 0) return ownsAddress(address) ? noName : { kind: 'forward' }
  if (type !== 'PTR') return noData
  return records(
    names.map((name) => ({
      name: asked,
      type: 'PTR',
      ttl: TTL_SECONDS,
      class: 'IN',
      data: `${name}.svc.${zone.domain}`,
    })),
  )
}

/** `5.0.96.10.in-addr.arpa` is 10.96.0.5 (RFC 1035 §3.5); IPv6 likewise by nibbles (RFC 3596 §2.5). */
export function addressOfReverse(name: string): string | undefined {
  const v4 = /^(.+)\.in-addr\.arpa$/.exec(name)?.[1]
  if (v4 !== undefined) {
    const address = v4.split('.').toReversed().join('.')
    return isIPv4(address) ? address : undefined
  }
  const v6 = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name)?.[1]
  if (v6 === undefined) return undefined
  const digits = v6.replaceAll('.', '').split('').toReversed().join('')
  return digits.replaceAll(/(.{4})(?=.)/g, '$1:')
}
