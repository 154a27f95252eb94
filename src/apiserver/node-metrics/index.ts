/**
 * metrics.k8s.io, for `kubectl top` and the autoscaler, from what kubelets say. Nobody is asked while nobody asks:
 * the first question looks twice within a second, and for some minutes after a question each node is looked at now
 * and then. An APIService of another metrics server takes the place of all this.
 */
import { nodes, pods, type Node, type Pod } from '#api'
import type { Env } from '#base'
import { notFound, type KubeObject } from '#machinery'
import type { Extensions } from '../extensions.ts'
import type { Reader } from '../inside.ts'
import type { NodeApis } from '../streaming/index.ts'
import { nodeUsage, podUsage, sampleOf, type Sample } from './usage.ts'

export interface NodeMetricsOptions {
  readonly env: Pick<Env, 'clock' | 'log'>
  readonly read: Pick<Reader, 'get' | 'list'>
  readonly nodeApi: NodeApis
}

/** Between two looks at a node, while somebody asks. */
const EVERY_MS = 15_000
/** Two looks nearer to each other say little. */
const LEAST_MS = 1000
/** Who asks is not told of what is older than this. */
const FRESH_MS = 3000
/** Nobody has asked for so long: nodes are left alone. */
const ASKED_MS = 5 * 60_000
/** Longer than a kubelet takes to answer. */
const PATIENCE_MS = 10_000

interface Watched {
  before: Sample | undefined
  now: Sample
}

/** By resource, for `Extensions.virtualReads`. */
export function metricsReads({
  env: { clock, log },
  read,
  nodeApi,
}: NodeMetricsOptions): NonNullable<Extensions['virtualReads']> {
  const watched = new Map<string, Watched>()
  let askedMs = -Infinity
  let next: (() => void) | undefined

  const lookAt = async (name: string): Promise<Sample | undefined> => {
    const late = Promise.withResolvers<undefined>()
    const cancel = clock.schedule(PATIENCE_MS, () => late.resolve(undefined))
    try {
      const answer = nodeApi(name)?.page('/stats/summary', 'only_cpu_and_memory=true')
      const page = await Promise.race([answer, late.promise])
      if (page === undefined || page.status !== 200) return undefined
      const text = Buffer.from(page.body).toString('utf8')
      return sampleOf(JSON.parse(text) as unknown, clock.monotonic())
    } catch (error) {
      log.debug('A node does not say what it uses', { node: name, error })
      return undefined
    } finally {
      cancel()
    }
  }
  const look = async (names: readonly string[]): Promise<void> => {
    await Promise.all(
      names.map(async (name) => {
        const sample = await lookAt(name)
        const last = watched.get(name)?.now
        if (sample === undefined) watched.delete(name)
        // Two may look at the same moment: the second look would leave no time between itself and the one before.
        else if (last === undefined || sample.atMs - last.atMs >= LEAST_MS)
          watched.set(name, { before: last, now: sample })
      }),
    )
  }
  const follow = (): void => {
    next ??= clock.schedule(EVERY_MS, () => {
      next = undefined
      if (clock.monotonic() - askedMs > ASKED_MS) return watched.clear()
      void look(read.list(nodes).map(({ metadata }) => metadata.name)).then(follow)
    })
  }
  const isOld = ({ now }: Watched): boolean => clock.monotonic() - now.atMs > 2 * EVERY_MS
  /** Until each of them was looked at twice, or does not answer. */
  const ready = async (names: readonly string[]): Promise<void> => {
    askedMs = clock.monotonic()
    follow()
    const fresh = names.filter((name) => {
      const known = watched.get(name)
      if (known !== undefined && isOld(known)) watched.delete(name)
      return known === undefined || clock.monotonic() - known.now.atMs > FRESH_MS
    })
    await look(fresh)
    const once = names.filter((name) => {
      const known = watched.get(name)
      return known !== undefined && known.before === undefined
    })
    if (once.length === 0) return
    await clock.sleep(LEAST_MS)
    await look(once.filter((name) => watched.get(name)?.before === undefined))
  }
  const both = (node: string): readonly [before: Sample, now: Sample] | undefined => {
    const known = watched.get(node)
    return known?.before === undefined ? undefined : [known.before, known.now]
  }
  const about = (
    { metadata }: Node | Pod,
    [before, now]: readonly [before: Sample, now: Sample],
  ) => {
    const time = clock.now()
    const ago = clock.monotonic() - now.atMs
    return {
      apiVersion: 'metrics.k8s.io/v1beta1',
      metadata: {
        name: metadata.name,
        ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
        ...(metadata.labels === undefined ? {} : { labels: metadata.labels }),
        creationTimestamp: seconds(time),
      },
      timestamp: seconds(new Date(time.getTime() - ago)),
      window: `${((now.atMs - before.atMs) / 1000).toFixed(3)}s`,
    }
  }

  return {
    async 'nodes.metrics.k8s.io'(_exchange, { name }) {
      const wanted = read
        .list(nodes)
        .filter(({ metadata }) => name === '' || metadata.name === name)
      // As metrics-server tells it: the node is not there, or nothing is known of it yet.
      if (name !== '' && wanted.length === 0) throw notFound({ group: '', resource: 'node' }, name)
      await ready(wanted.map(({ metadata }) => metadata.name))
      const known = wanted.flatMap((node): KubeObject[] => {
        const samples = both(node.metadata.name)
        if (samples === undefined) return []
        const shown = { kind: 'NodeMetrics', ...about(node, samples), usage: nodeUsage(...samples) }
        return [shown as unknown as KubeObject]
      })
      if (name !== '' && known.length === 0) throw notFound(unknown('nodemetrics'), name)
      return known
    },
    async 'pods.metrics.k8s.io'(_exchange, { namespace, name }) {
      const wanted = (namespace === '' ? read.list(pods) : read.list(pods, namespace)).filter(
        ({ metadata, status, spec }) =>
          (name === '' || metadata.name === name) &&
          status?.phase === 'Running' &&
          spec.nodeName !== undefined,
      )
      if (name !== '' && wanted.length === 0) throw notFound({ group: '', resource: 'pods' }, name)
      await ready([...new Set(wanted.map(({ spec }) => spec.nodeName ?? ''))])
      const known = wanted.flatMap((pod): KubeObject[] => {
        const samples = both(pod.spec.nodeName ?? '')
        if (samples === undefined) return []
        const { namespace: within = '', name: called } = pod.metadata
        const used = podUsage(...samples, `${within}/${called}`)
        if (used === undefined) return []
        return [{ kind: 'PodMetrics', ...about(pod, samples), ...used } as unknown as KubeObject]
      })
      if (name !== '' && known.length === 0)
        throw notFound(unknown('podmetrics'), `${namespace}/${name}`)
      return known
    },
  }
}

const unknown = (resource: string) => ({ group: 'metrics.k8s.io', resource })

const seconds = (at: Date): string => `${at.toISOString().slice(0, 19)}Z`
