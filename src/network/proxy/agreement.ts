/**
 * What the proxies of several nodes know of one another: a pod that is stopping should be told so only when none of them
 * sends it anything new. Each node says on its Node object how far its kernel has come, while pods are stopping and not
 * otherwise: an idle cluster writes nothing, and a cluster of one node never does.
 */
import type { EndpointSlice, Node } from '#api'
import type { Env } from '#base'
import { keyOf } from '#machinery'
import type { Follow } from '../follow.ts'

/** The highest resourceVersion of an EndpointSlice that this node's kernel follows. */
export const PROXY_ANNOTATION = 'navarch.dev/proxied-revision'

export interface AgreementOptions {
  readonly env: Pick<Env, 'clock' | 'log'>
  readonly nodeName: string
  readonly nodes: Follow<Node>
  /** Told after this node's own proxy was. */
  readonly endpointSlices: Follow<EndpointSlice>
  /** This node's kernel has all that its proxy was told. */
  readonly settled: () => Promise<void>
  /** Puts the annotation onto this node's object. */
  readonly publish: (revision: string) => Promise<void>
}

/** When all nodes know of a change of endpoints. */
export interface Agreement {
  /**
   * Resolves once the proxies of all Ready nodes have followed what this one has, or the limit is over. At once for a pod
   * that no Service is stopping to use, and on a cluster of one node. Rejects when the signal aborts.
   */
  reached(pod: { readonly ips: readonly string[] }, signal: AbortSignal): Promise<void>
}

/** Another node's kernel takes some tens of milliseconds; one that is gone must not hold a pod for long. */
export const AGREEMENT_LIMIT_MS = 2_000

/** Tells the others how far this node is, and knows how far they are. */
export function keepAgreement(options: AgreementOptions, signal: AbortSignal): Agreement {
  const { env, nodeName } = options
  const log = env.log.for('service-proxy')
  /** What the others say of themselves. */
  const others = new Map<string, bigint>()
  const present = new Set<string>()
  /** Addresses of pods that are stopping, by slice. */
  const stopping = new Map<string, ReadonlySet<string>>()
  const waiting = new Set<() => void>()
  let seen = 0n
  let published: bigint | undefined
  let publishing = false

  const isDue = (): boolean =>
    present.size > 0 && (published === undefined || (seen > published && stopping.size > 0))
  const publish = async (): Promise<void> => {
    if (publishing) return
    publishing = true
    try {
      while (isDue() && !signal.aborted) {
        const revision = seen
        await options.settled()
        await options.publish(revision.toString())
        published = revision
      }
    } catch (error) {
      // Who waits for it has a limit, and the next change tries again.
      log.debug('cannot say how far the service rules have come', { error })
    } finally {
      publishing = false
    }
  }

  const follow = Promise.all([
    options.endpointSlices(({ type, object }) => {
      const revision = revisionOf(object.metadata.resourceVersion)
      if (revision !== undefined && revision > seen) seen = revision
      const addresses = type === 'gone' ? new Set<string>() : stoppingIn(object)
      if (addresses.size === 0) stopping.delete(keyOf(object))
      else stopping.set(keyOf(object), addresses)
      void publish()
    }, signal),
    options.nodes(({ type, object }) => {
      const { name, annotations } = object.metadata
      if (name === nodeName) return
      if (type === 'gone') present.delete(name)
      else present.add(name)
      const revision = revisionOf(annotations?.[PROXY_ANNOTATION])
      // A node without a proxy, or one that is cut off, cannot be waited for.
      if (type === 'gone' || revision === undefined || !isReady(object)) others.delete(name)
      else others.set(name, revision)
      for (const look of waiting) look()
      void publish()
    }, signal),
  ])
  follow.catch(() => undefined)

  return {
    reached({ ips }, until) {
      const isStopping = [...stopping.values()].some((set) => ips.some((ip) => set.has(ip)))
      const revision = seen
      const done = (): boolean => [...others.values()].every((other) => other >= revision)
      if (!isStopping || done()) return Promise.resolve()
      return new Promise((resolve, reject) => {
        if (until.aborted) return reject(until.reason as Error)
        const end = (): void => {
          waiting.delete(look)
          cancel()
          until.removeEventListener('abort', giveUp)
        }
        const look = (): void => {
          if (!done()) return
          end()
          resolve()
        }
        const giveUp = (): void => {
          end()
          reject(until.reason as Error)
        }
        const cancel = env.clock.schedule(AGREEMENT_LIMIT_MS, () => {
          end()
          log.info('a node did not say in time that it lets go of a pod', {
            ips,
            nodes: [...others].filter(([, other]) => other < revision).map(([name]) => name),
          })
          resolve()
        })
        until.addEventListener('abort', giveUp, { once: true })
        waiting.add(look)
      })
    },
  }
}

function revisionOf(text: string | undefined): bigint | undefined {
  return text !== undefined && /^\d+$/.test(text) ? BigInt(text) : undefined
}

const stoppingIn = ({ endpoints }: EndpointSlice): ReadonlySet<string> =>
  new Set(
    (endpoints ?? [])
      .filter(({ conditions }) => conditions?.terminating === true)
      .flatMap(({ addresses }) => addresses ?? []),
  )

const isReady = ({ status }: Node): boolean =>
  status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true
