/** Carries Services into the kernel: looks by informers, decides by `desiredRules`, acts by one `nft` at a time. */
import type { EndpointSlice, Pod, Service } from '#api'
import type { Env } from '#base'
import { keyOf } from '#machinery'
import type { Follow } from '../follow.ts'
import { mustParseCidr } from '../ip.ts'
import { followServices, type ServiceIndex } from '../service-index.ts'
import {
  type ConntrackCommand,
  forgetUnanswered,
  staleFlows,
  staleFlowsAtStart,
  unansweredConnections,
} from './conntrack.ts'
import { desiredRules, type NodeView, noRules, type ServiceRules } from './desired.ts'
import { hostPortsOf } from './host-ports.ts'
import { type HostPorts, Ledger, type Plan } from './ledger.ts'

/** What the proxy follows, and where it puts its rules. */
export interface ServiceProxyOptions {
  readonly env: Pick<Env, 'clock' | 'process' | 'log'>
  readonly services: Follow<Service>
  readonly endpointSlices: Follow<EndpointSlice>
  /** The pods of this node: their host ports are served too. */
  readonly pods?: Follow<Pod>
  readonly node: NodeView
  /** The range of all pods of the cluster. */
  readonly clusterCidr: string
  readonly serviceCidr: string
  /** Name of the nftables table; another for each cluster of a machine. */
  readonly table?: string
}

/** Keeps the kernel's rules as Services and their endpoints are. */
export interface ServiceProxy {
  /**
   * Resolves once no new connection is sent to the pod on account of its readiness: at once when it is in no Service,
   * else when the slices that say so have reached the kernel. Rejects when the signal aborts.
   */
  drained(pod: { readonly ips: readonly string[] }, signal: AbortSignal): Promise<void>
  /** Resolves when the kernel has all that is known so far. */
  settled(): Promise<void>
  /** Since when something has been on its way to the kernel, by the monotonic clock. */
  waitingSince(): number | undefined
  /** The highest resourceVersion among the Services and slices that the kernel follows; `0` before the first. */
  appliedRevision(): string
  /** Lets the rules be, so that Services work until the next start; with `cleanup` the kernel forgets them. */
  stop(options?: { readonly cleanup?: boolean }): Promise<void>
}

/** The nftables table of the first node of a machine. */
export const DEFAULT_SERVICE_TABLE = 'navarch-services'
const RETRY_MS = [100, 1_000, 5_000, 30_000] as const
const NFT_TIMEOUT_MS = 60_000

/** Resolves when the kernel has the rules for everything that was there at the beginning. */
export async function startServiceProxy(
  options: ServiceProxyOptions,
  signal: AbortSignal,
): Promise<ServiceProxy> {
  const { env, node, table = DEFAULT_SERVICE_TABLE } = options
  const log = env.log.for('service-proxy')
  const path = { PATH: `${env.process.environment['PATH'] ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin` }
  const stopping = new AbortController()
  const ended = AbortSignal.any([signal, stopping.signal])

  const ledger = new Ledger({
    table,
    clusterCidr: mustParseCidr(options.clusterCidr).text,
    serviceCidr: mustParseCidr(options.serviceCidr).text,
  })

  let index: ServiceIndex | undefined
  /** Services to look at again. */
  const dirty = new Set<string>()
  const hostPortWishes = new Map<string, HostPorts | undefined>()
  const withHostPorts = new Set<string>()
  /** Set when the kernel may hold something else than the ledger says. */
  let broken = true
  let started = false
  let seenRevision = 0n
  let appliedRevision = 0n
  let working: Promise<void> | undefined
  /** Asked after each transaction; true: done, and forgotten. */
  const waiting = new Set<() => boolean>()

  const nft = async (script: string): Promise<string | undefined> => {
    if (script === '') return undefined
    const { code, stderr } = await env.process.run(['nft', '-f', '-'], {
      input: script,
      env: path,
      timeoutMs: NFT_TIMEOUT_MS,
    })
    return code === 0 ? undefined : stderr.trim().slice(0, 500) || `nft ended with ${code}`
  }
  let conntrackMissing = false
  const forgetFlows = async (commands: readonly ConntrackCommand[]): Promise<void> => {
    if (conntrackMissing) return
    for (const command of commands) {
      try {
        // It fails when there is nothing to forget.
        await env.process.run(['conntrack', ...command], { env: path })
      } catch (error) {
        conntrackMissing = true
        log.warn('clients may keep sending to pods that are gone: conntrack is not installed', {
          error,
        })
        return
      }
    }
  }

  const wish = (key: string): ServiceRules => {
    const service = index?.service(key)
    return service === undefined ? noRules : desiredRules(service, index?.slices(key) ?? [], node)
  }
  const plansFor = (keys: Iterable<string>): readonly Plan[] => {
    const hostPorts = [...hostPortWishes]
    hostPortWishes.clear()
    return [
      ledger.update(new Map([...keys].map((key) => [key, wish(key)]))),
      ...hostPorts.map(([pod, ports]) => ledger.updateHostPorts(pod, ports)),
    ]
  }

  /** The whole table; a Service that the kernel refuses is left out until it changes, so that one cannot stop all. */
  const applyWhole = async (): Promise<string | undefined> => {
    const failure = await nft(ledger.whole())
    if (failure === undefined) return undefined
    log.error('the kernel refused the service rules; adding Services one by one', { failure })
    const wishes = ledger.services()
    for (const key of wishes) ledger.forget(key)
    const base = await nft(ledger.whole())
    if (base !== undefined) return base
    for (const key of wishes) {
      const refused = await nft(ledger.update(new Map([[key, wish(key)]])).script)
      if (refused === undefined) continue
      ledger.forget(key)
      log.error('cannot serve a Service', { service: key, failure: refused })
    }
    return undefined
  }

  const flush = async (): Promise<void> => {
    for (let failures = 0; dirty.size > 0 || hostPortWishes.size > 0 || broken;) {
      const keys = [...dirty]
      dirty.clear()
      const revision = seenRevision
      const plans = plansFor(keys)
      const failure = broken
        ? await applyWhole()
        : await nft(plans.map(({ script }) => script).join(''))
      if (ended.aborted) return
      if (failure !== undefined) {
        if (!started) throw new Error(`Cannot program the service rules: ${failure}`)
        // What the kernel holds is as before; the ledger is ahead of it, so all is sent again.
        log.error('cannot program the service rules', { failure, table })
        const first = !broken
        broken = true
        if (!first) {
          const waitMs = RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)] ?? 0
          await env.clock.sleep(waitMs, ended)
        }
        continue
      }
      failures = 0
      broken = false
      if (started) await forgetFlows(flowsToForget(plans.flatMap(({ changes }) => changes)))
      appliedRevision = revision
      tellWaiting()
    }
  }
  let waitingSince: number | undefined
  const tellWaiting = (): void => {
    if (isSettled()) waitingSince = undefined
    for (const done of waiting) if (done()) waiting.delete(done)
  }
  /** Applies at once, or with the next transaction when one is under way. */
  const kick = (): void => {
    if (!started || ended.aborted) return
    waitingSince ??= env.clock.monotonic()
    if (working) return
    working = Promise.resolve()
      .then(flush)
      .catch((error: unknown) => {
        if (ended.aborted) return
        log.error('the service proxy failed; it tries again at the next change', { error })
        broken = true
      })
      .finally(() => {
        working = undefined
        // Something may have been asked between the last transaction and here.
        if (dirty.size > 0 || hostPortWishes.size > 0) kick()
        else tellWaiting()
      })
  }
  const isSettled = (): boolean =>
    working === undefined && dirty.size === 0 && hostPortWishes.size === 0 && !broken

  const note = (key: string, resourceVersion: string | undefined): void => {
    if (resourceVersion !== undefined && /^\d+$/.test(resourceVersion)) {
      const revision = BigInt(resourceVersion)
      if (revision > seenRevision) seenRevision = revision
    }
    dirty.add(key)
    kick()
  }
  const [followed] = await Promise.all([
    followServices(options, note, ended),
    options.pods?.(({ type, object }) => {
      const key = keyOf(object)
      const ports = type === 'gone' ? undefined : hostPortsOf(object)
      // Hardly any pod has some: the others cost nothing.
      if (ports === undefined && !withHostPorts.has(key)) return
      if (ports === undefined) withHostPorts.delete(key)
      else withHostPorts.add(key)
      hostPortWishes.set(key, ports)
      kick()
    }, ended),
  ])
  index = followed
  dirty.clear()
  for (const key of byAge(index)) dirty.add(key)
  await flush()
  started = true
  await forgetFlows(await staleAtStart())
  log.info('Services are served', { table, services: index.keys().length })

  async function staleAtStart(): Promise<readonly ConntrackCommand[]> {
    try {
      const { stdout } = await env.process.run(['conntrack', '-L', '-f', 'ipv4', '-p', 'udp'], {
        env: path,
      })
      return staleFlowsAtStart(stdout, ledger.rules())
    } catch {
      return []
    }
  }

  return {
    drained({ ips }, until) {
      const done = (): boolean => !ips.some(ledger.isReady) && !ips.some(expected)
      // Readiness that is on its way to the kernel counts as being there.
      const expected = (ip: string): boolean => [...dirty].some((key) => wish(key).readyIps.has(ip))
      if (isSettled() && done()) return Promise.resolve()
      return new Promise((resolve, reject) => {
        const finish = (): boolean => {
          if (!done()) return false
          until.removeEventListener('abort', giveUp)
          resolve()
          return true
        }
        const giveUp = (): void => {
          waiting.delete(finish)
          reject(until.reason as Error)
        }
        if (until.aborted) return giveUp()
        until.addEventListener('abort', giveUp, { once: true })
        waiting.add(finish)
        kick()
      })
    },
    settled() {
      if (isSettled()) return Promise.resolve()
      return new Promise((resolve) => {
        waiting.add(() => {
          if (dirty.size > 0 || hostPortWishes.size > 0 || broken) return false
          resolve()
          return true
        })
        kick()
      })
    },
    waitingSince: () => waitingSince,
    appliedRevision: () => appliedRevision.toString(),
    async stop({ cleanup = false } = {}) {
      stopping.abort()
      await working
      if (cleanup) await removeServiceRules({ env, table })
    },
  }
}

function flowsToForget(changes: Plan['changes']): readonly ConntrackCommand[] {
  const gone = changes.flatMap(({ before, after }) => [...unansweredConnections(before, after)])
  return [
    ...changes.flatMap(({ before, after }) => staleFlows(before, after)),
    ...[...new Set(gone)].map(forgetUnanswered),
  ]
}

/** Takes the rules of a proxy out of the kernel, whether or not it runs. */
export async function removeServiceRules({
  env,
  table = DEFAULT_SERVICE_TABLE,
}: {
  readonly env: Pick<Env, 'process'>
  readonly table?: string
}): Promise<void> {
  await env.process.run(['nft', '-f', '-'], {
    input: `add table ip ${table}\ndelete table ip ${table}\n`,
    env: { PATH: `${env.process.environment['PATH'] ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin` },
  })
}

/** The oldest first: it keeps a frontend that two want. */
const byAge = (index: ServiceIndex): readonly string[] => {
  const age = (key: string): string =>
    `${index.service(key)?.metadata.creationTimestamp ?? ''} ${key}`
  return index.keys().toSorted((a, b) => (age(a) < age(b) ? -1 : 1))
}
