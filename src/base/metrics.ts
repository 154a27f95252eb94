/**
 * Numbers about the program under the names that dashboards know. Counting costs an addition: what is counted is
 * kept here in plain maps, and prom-client writes the page when somebody asks for it (its own counters look
 * labels up by text for each count, which a request would feel).
 */
import type { MetricObjectWithValues, MetricValue } from 'prom-client'

export interface Family {
  /** `workqueue_adds_total` */
  readonly name: string
  readonly help: string
  readonly labels?: readonly string[]
}

/** Only goes up. */
export interface Counter {
  add(by?: number): void
}

/** How many values fell below each bound, and their sum. */
export interface Histogram {
  /** Seconds, mostly. */
  observe(value: number): void
}

/** What belongs to one set of label values, in the order of the family's labels: kept by whoever counts often. */
export interface Labelled<T> {
  with(...values: readonly string[]): T
}

/** What a gauge shows for one set of label values. */
export type Sample = readonly [values: readonly string[], value: number]

/** Where parts say what they count; each name once. */
export interface Metrics {
  counter(family: Family): Labelled<Counter>
  histogram(family: Family & { readonly buckets: readonly number[] }): Labelled<Histogram>
  /** Asked when the page is asked for. The returned function ends that. */
  gauge(family: Family, read: () => Iterable<Sample>): () => void
  /** The page, in Prometheus' text format. */
  text(): Promise<string>
}

/** A mistake in a label must not fill the memory: what comes later is counted together. */
const SERIES_LIMIT = 8192

interface Place<T> {
  readonly values: readonly string[]
  readonly below: Map<string, Place<T>>
  child: T | undefined
}

const placeOf = <T>(values: readonly string[]): Place<T> => ({
  values,
  below: new Map(),
  child: undefined,
})

class Series<T> implements Labelled<T> {
  readonly children: { readonly values: readonly string[]; readonly child: T }[] = []
  // A tree of values: a key made of them would be made for each count.
  readonly #root = placeOf<T>([])
  readonly #make: () => T
  constructor(make: () => T) {
    this.#make = make
  }
  with(...values: readonly string[]): T {
    let place = this.#root
    for (const value of values) {
      let next = place.below.get(value)
      if (next === undefined) {
        if (this.children.length >= SERIES_LIMIT && values.some((each) => each !== OTHER))
          return this.with(...values.map(() => OTHER))
        next = placeOf<T>([...place.values, value])
        place.below.set(value, next)
      }
      place = next
    }
    if (place.child === undefined) {
      place.child = this.#make()
      this.children.push({ values: place.values, child: place.child })
    }
    return place.child
  }
}
const OTHER = 'other'

class Count implements Counter {
  total = 0
  add(by = 1): void {
    this.total += by
  }
}

class Distribution implements Histogram {
  readonly bounds: readonly number[]
  readonly counts: Float64Array
  sum = 0
  count = 0
  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = new Float64Array(bounds.length)
  }
  observe(value: number): void {
    let i = 0
    while (i < this.bounds.length && value > this.bounds[i]!) i++
    if (i < this.bounds.length) this.counts[i] = this.counts[i]! + 1
    this.sum += value
    this.count++
  }
}

interface Known {
  readonly family: Family
  readonly type: 'counter' | 'histogram' | 'gauge'
  readonly values: () => MetricValue<string>[]
  readonly source: unknown
}

/** A registry of its own: parts that share it show on one page. */
export function createMetrics(): Metrics {
  const families = new Map<string, Known>()
  /** The same name is the same family, whoever asks first. */
  const once = <T>(name: string, make: () => Known & { readonly source: T }): T => {
    let known = families.get(name)
    if (known === undefined) {
      known = make()
      families.set(name, known)
    }
    return known.source as T
  }
  const labelsOf = ({ labels = [] }: Family, values: readonly string[]): Record<string, string> =>
    Object.fromEntries(labels.map((label, i) => [label, values[i] ?? '']))

  return {
    counter: (family) =>
      once(family.name, () => {
        const source = new Series(() => new Count())
        const values = () =>
          source.children.map(({ values: of, child }) => ({
            labels: labelsOf(family, of),
            value: child.total,
          }))
        return { family, type: 'counter', values, source }
      }),
    histogram: (family) =>
      once(family.name, () => {
        const source = new Series(() => new Distribution(family.buckets))
        const values = () =>
          source.children.flatMap(({ values: of, child }) =>
            bucketsOf(family.name, labelsOf(family, of), child),
          )
        return { family, type: 'histogram', values, source }
      }),
    gauge(family, read) {
      const readers = once(family.name, () => {
        const source = new Set<() => Iterable<Sample>>()
        const values = () =>
          [...source].flatMap((reader) =>
            Array.from(reader(), ([of, value]) => ({ labels: labelsOf(family, of), value })),
          )
        return { family, type: 'gauge', values, source }
      })
      readers.add(read)
      return () => void readers.delete(read)
    },
    async text() {
      // Loaded with the first page: most clusters in tests never show one.
      const { Registry } = await import('prom-client')
      const registry = new Registry()
      for (const { family, type, values } of families.values()) {
        const collected = (): MetricObjectWithValues<MetricValue<string>> =>
          ({
            name: family.name,
            help: family.help,
            type,
            aggregator: 'sum',
            values: values(),
          }) as unknown as MetricObjectWithValues<MetricValue<string>>
        // A registry asks a metric for no more than its name and its values.
        registry.registerMetric({ name: family.name, get: async () => collected() } as never)
      }
      return registry.metrics()
    },
  }
}

function bucketsOf(
  name: string,
  labels: Record<string, string>,
  { bounds, counts, sum, count }: Distribution,
): MetricValue<string>[] {
  let below = 0
  const one = (metricName: string, more: Record<string, string | number>, value: number) =>
    ({ metricName, labels: { ...more, ...labels }, value }) as MetricValue<string>
  return [
    ...bounds.map((le, i) => one(`${name}_bucket`, { le }, (below += counts[i]!))),
    one(`${name}_bucket`, { le: '+Inf' }, count),
    one(`${name}_sum`, {}, sum),
    one(`${name}_count`, {}, count),
  ]
}

/** `bounds(0.001, 2, 15)`: each twice the one before. */
export const exponential = (first: number, factor: number, count: number): readonly number[] =>
  Array.from({ length: count }, (_, i) => first * factor ** i)
