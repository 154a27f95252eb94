/** Reads what pods and other things use: metrics.k8s.io, custom.metrics.k8s.io, external.metrics.k8s.io. */
import type { Pod } from '#api'
import type { Client } from '#client'
import {
  formatLabelSelector,
  milliValue,
  selectorRequirements,
  type LabelSelector,
} from '#machinery'
import { MetricsError, type PodValue } from './replicas.ts'

interface PodMetricsList {
  readonly items?: readonly {
    readonly metadata: { readonly name: string }
    readonly timestamp?: string
    readonly window?: string
    readonly containers?: readonly {
      readonly name: string
      readonly usage?: Readonly<Record<string, string>>
    }[]
  }[]
}
interface ValueList {
  readonly items?: readonly {
    readonly describedObject?: { readonly name?: string }
    readonly timestamp?: string
    readonly windowSeconds?: number
    readonly value?: string
  }[]
}

const MINUTE_MS = 60_000

/** `15s`, `1m30s`, `30.012s`. */
function milliseconds(duration: string | undefined): number {
  const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }
  return [...(duration ?? '').matchAll(/([\d.]+)(ms|s|m|h)/g)].reduce(
    (total, [, n, unit]) => total + Number(n) * (units[unit ?? ''] ?? 0),
    0,
  )
}

const get = async (
  { transport }: Client,
  path: string,
  query: Readonly<Record<string, string>>,
): Promise<unknown> => {
  try {
    return await transport.request({ method: 'GET', path, query })
  } catch (error) {
    throw new MetricsError(error instanceof Error ? error.message : String(error))
  }
}

const queryOf = (name: string, selector: string): Readonly<Record<string, string>> =>
  selector === '' ? {} : { [name]: selector }
const textOf = (selector: LabelSelector | undefined): string =>
  formatLabelSelector(selectorRequirements(selector) ?? [])

/** What each pod uses of a resource, or one of its containers does. */
export async function resourceValues(
  client: Client,
  namespace: string,
  selector: string,
  resource: string,
  container: string | undefined,
): Promise<ReadonlyMap<string, PodValue>> {
  const list = (await get(
    client,
    `/apis/metrics.k8s.io/v1beta1/namespaces/${namespace}/pods`,
    queryOf('labelSelector', selector),
  )) as PodMetricsList
  const found = new Map<string, PodValue>()
  for (const { metadata, timestamp, window, containers = [] } of list.items ?? []) {
    const wanted = containers.filter(({ name }) => container === undefined || name === container)
    const usage = wanted.map(({ usage: of }) => of?.[resource])
    if (usage.length === 0 || usage.includes(undefined)) continue
    found.set(metadata.name, {
      milli: usage.reduce((total, each) => total + milliValue(each), 0),
      atMs: Date.parse(timestamp ?? ''),
      windowMs: milliseconds(window) || MINUTE_MS,
    })
  }
  if (found.size === 0)
    throw new MetricsError(
      `unable to get metrics for resource ${resource}: no metrics returned from resource metrics API`,
    )
  return found
}

const CUSTOM = '/apis/custom.metrics.k8s.io/v1beta2'

/** A metric of each pod. */
export async function podValues(
  client: Client,
  namespace: string,
  selector: string,
  metric: { readonly name: string; readonly selector?: LabelSelector },
): Promise<ReadonlyMap<string, PodValue>> {
  const list = (await get(client, `${CUSTOM}/namespaces/${namespace}/pods/*/${metric.name}`, {
    ...queryOf('labelSelector', selector),
    ...queryOf('metricLabelSelector', textOf(metric.selector)),
  })) as ValueList
  const found = new Map(
    (list.items ?? []).map(({ describedObject, timestamp, windowSeconds, value }) => [
      describedObject?.name ?? '',
      {
        milli: milliValue(value),
        atMs: Date.parse(timestamp ?? ''),
        windowMs: (windowSeconds ?? 60) * 1000,
      },
    ]),
  )
  if (found.size === 0) throw new MetricsError('no metrics returned from custom metrics API')
  return found
}

/** A metric of one object, in thousandths. */
export async function objectValue(
  client: Client,
  namespace: string,
  resource: string,
  name: string,
  metric: { readonly name: string; readonly selector?: LabelSelector },
): Promise<number> {
  const list = (await get(
    client,
    `${CUSTOM}/namespaces/${namespace}/${resource}/${name}/${metric.name}`,
    queryOf('metricLabelSelector', textOf(metric.selector)),
  )) as ValueList
  const [first] = list.items ?? []
  if (first === undefined) throw new MetricsError('no metrics returned from custom metrics API')
  return milliValue(first.value)
}

/** The sum of a metric of something outside, in thousandths. */
export async function externalValue(
  client: Client,
  namespace: string,
  metric: { readonly name: string; readonly selector?: LabelSelector },
): Promise<number> {
  const list = (await get(
    client,
    `/apis/external.metrics.k8s.io/v1beta1/namespaces/${namespace}/${metric.name}`,
    queryOf('labelSelector', textOf(metric.selector)),
  )) as ValueList
  const items = list.items ?? []
  if (items.length === 0) throw new MetricsError('no metrics returned from external metrics API')
  return items.reduce((total, { value }) => total + milliValue(value), 0)
}

/** In the order of their names, so that nothing depends on which came first. */
export const byName = (pods: readonly Pod[]): readonly Pod[] =>
  pods.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
