/** What the server counts of its requests, under upstream's names, so that counting costs nearly nothing. */
import { exponential, type Counter, type Histogram, type Labelled, type Metrics } from '#base'
import type { RequestInfo } from '../exchange.ts'

const DURATION_BUCKETS: readonly number[] = [
  0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45,
  60,
]
const FILTER_BUCKETS: readonly number[] = [
  0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 5, 10, 15, 30,
]
const BODY_BUCKETS = Array.from({ length: 31 }, (_, i) => 50_000 + 100_000 * i)

export interface RequestLabels {
  readonly verb: string
  readonly dryRun: '' | 'All'
  readonly group: string
  readonly version: string
  readonly resource: string
  readonly subresource: string
  readonly scope: 'cluster' | 'namespace' | 'resource' | ''
  /** It is the same object for many requests. */
  readonly isShared?: boolean
}

export interface Observed {
  readonly code: number
  readonly seconds: number
  /** Without the time that others took: queues and webhooks. */
  readonly ownSeconds: number
  readonly isLongRunning: boolean
  /** Bytes of the answer to a read; undefined when they are not known. */
  readonly answerBytes?: number | undefined
}

interface Series {
  readonly values: readonly string[]
  readonly codes: Map<number, Counter>
  readonly duration: () => Histogram
  readonly own: () => Histogram
  readonly size: () => Histogram
  /** Undefined for what is no resource. */
  readonly body: (() => Histogram) | undefined
}

/** More than a cluster has resources and verbs; what comes later is counted as `other`. */
const SERIES_LIMIT = 4096

const later = <T>(make: () => T): (() => T) => {
  let made: T | undefined
  return () => (made ??= make())
}

export class RequestMetrics {
  readonly #series = new Map<string, Series>()
  readonly #ofShared = new WeakMap<RequestLabels, Series>()
  readonly inFlight = { readOnly: 0, mutating: 0 }
  readonly inQueue = { readOnly: 0, mutating: 0 }
  /** Open watches by `group|version|resource|scope`. */
  readonly watches = new Map<string, number>()
  readonly #totals: Labelled<Counter>
  readonly #durations: Labelled<Histogram>
  readonly #ownDurations: Labelled<Histogram>
  readonly #sizes: Labelled<Histogram>
  readonly #bodies: Labelled<Histogram>
  readonly #events: Labelled<Counter>
  readonly #cut: Labelled<Counter>
  readonly #aborts: Labelled<Counter>
  readonly #filters: Labelled<Histogram>
  readonly #lists: Labelled<Counter>
  readonly #listed: Labelled<Counter>
  /** Old ones that somebody asked for, once each. */
  readonly #deprecated = new Map<string, readonly string[]>()
  readonly #isKnown: (labels: RequestLabels) => boolean

  /**
   * @param objects counts what is stored, by resource
   * @param isKnown whether there is such a resource: paths that clients invent must not become series
   */
  constructor(
    metrics: Metrics,
    objects: () => Iterable<readonly [resource: string, count: number]> = () => [],
    isKnown: (labels: RequestLabels) => boolean = () => true,
  ) {
    this.#isKnown = isKnown
    const kind = ['group', 'version', 'resource']
    const where = [...kind, 'subresource', 'scope', 'component']
    const histogram = (
      name: string,
      help: string,
      labels: readonly string[],
      buckets: readonly number[],
    ) => metrics.histogram({ name: `apiserver_${name}`, help, labels, buckets })
    const counter = (name: string, help: string, labels: readonly string[]) =>
      metrics.counter({ name: `apiserver_${name}`, help, labels })
    const full = ['verb', 'dry_run', ...where]
    this.#totals = counter('request_total', 'Requests answered, by verb, resource and code.', [
      ...full,
      'code',
    ])
    this.#durations = histogram(
      'request_duration_seconds',
      'Time to answer, by verb and resource.',
      full,
      DURATION_BUCKETS,
    )
    this.#ownDurations = histogram(
      'request_sli_duration_seconds',
      'Time to answer without that of queues and webhooks.',
      full,
      DURATION_BUCKETS,
    )
    this.#sizes = histogram(
      'response_sizes',
      'Bytes of answers to reads.',
      ['verb', ...where],
      exponential(1000, 10, 7),
    )
    this.#bodies = histogram(
      'request_body_size_bytes',
      'Bytes of what was sent to be written.',
      ['resource', 'verb'],
      BODY_BUCKETS,
    )
    this.#filters = histogram(
      'request_filter_duration_seconds',
      'Time that a filter of the chain took.',
      ['filter'],
      FILTER_BUCKETS,
    )
    this.#events = counter('watch_events_total', 'Events sent to watches, by resource.', kind)
    this.#cut = counter('terminated_watchers_total', 'Watches that could not keep up.', [
      'group',
      'resource',
    ])
    this.#aborts = counter('request_aborts_total', 'Requests whose client went away.', [
      'verb',
      ...kind,
      'subresource',
      'scope',
    ])
    this.#lists = counter('cache_list_total', 'Lists that the watch cache answered.', [
      'group',
      'resource',
      'index',
    ])
    this.#listed = counter(
      'cache_list_returned_objects_total',
      'Objects in lists that the watch cache answered.',
      ['group', 'resource'],
    )
    for (const [name, help, counts] of [
      ['current_inflight_requests', 'Requests in the works.', this.inFlight],
      ['current_inqueue_requests', 'Requests that wait.', this.inQueue],
    ] as const)
      metrics.gauge({ name: `apiserver_${name}`, help, labels: ['request_kind'] }, () => [
        [['readOnly'], counts.readOnly],
        [['mutating'], counts.mutating],
      ])
    metrics.gauge(
      {
        name: 'apiserver_requested_deprecated_apis',
        help: 'Versions on their way out that somebody has asked for.',
        labels: [...kind, 'subresource', 'removed_release'],
      },
      () => Array.from(this.#deprecated.values(), (values) => [values, 1] as const),
    )
    metrics.gauge(
      {
        name: 'apiserver_longrunning_requests',
        help: 'Open watches, by resource.',
        labels: ['verb', ...where],
      },
      () =>
        Array.from(this.watches, ([of, count]) => {
          const [group = '', version = '', resource = '', scope = ''] = of.split('|')
          return [['WATCH', group, version, resource, '', scope, 'apiserver'], count] as const
        }),
    )
    metrics.gauge(
      {
        name: 'apiserver_storage_objects',
        help: 'Objects stored, by resource.',
        labels: ['resource'],
      },
      () => Array.from(objects(), ([resource, count]) => [[resource], count] as const),
    )
    metrics.gauge(
      {
        name: 'apiserver_resource_objects',
        help: 'Objects stored, by resource.',
        labels: ['group', 'resource'],
      },
      () =>
        Array.from(objects(), ([id, count]) => {
          const [resource = '', ...group] = id.split('.')
          return [[group.join('.'), resource], count] as const
        }),
    )
  }

  observe(labels: RequestLabels, observed: Observed): void {
    const series = this.#seriesOf(labels)
    const { code, seconds } = observed
    let total = series.codes.get(code)
    if (total === undefined) {
      total = this.#totals.with(...series.values, String(code))
      series.codes.set(code, total)
    }
    total.add()
    if (observed.isLongRunning) return
    series.duration().observe(seconds)
    series.own().observe(observed.ownSeconds)
    if (observed.answerBytes !== undefined) series.size().observe(observed.answerBytes)
  }

  #seriesOf(labels: RequestLabels): Series {
    if (labels.isShared !== true) return this.#findSeries(labels)
    let series = this.#ofShared.get(labels)
    if (series === undefined) this.#ofShared.set(labels, (series = this.#findSeries(labels)))
    return series
  }

  #findSeries(labels: RequestLabels): Series {
    const { verb, dryRun, group, version, resource, subresource, scope } = labels
    const key = `${verb}|${dryRun}|${group}|${version}|${resource}|${subresource}|${scope}`
    const known = this.#series.get(key)
    if (known !== undefined) return known
    if (labels !== OTHER && (this.#series.size >= SERIES_LIMIT || !this.#isKnown(labels)))
      return this.#findSeries(OTHER)
    const values = valuesOf(labels)
    const [, , ...where] = values
    const made: Series = {
      values,
      codes: new Map(),
      duration: later(() => this.#durations.with(...values)),
      own: later(() => this.#ownDurations.with(...values)),
      size: later(() => this.#sizes.with(verb, ...where)),
      body:
        labels === OTHER
          ? undefined
          : later(() => this.#bodies.with(group === '' ? resource : `${resource}.${group}`, verb)),
    }
    this.#series.set(key, made)
    return made
  }

  aborted({ verb, group, version, resource, subresource, scope }: RequestLabels): void {
    this.#aborts.with(verb, group, version, resource, subresource, scope).add()
  }

  bodySize(labels: RequestLabels, bytes: number): void {
    this.#seriesOf(labels).body?.().observe(bytes)
  }

  filter(name: string, ms: number): void {
    this.#filters.with(name).observe(ms / 1000)
  }

  deprecated({ group, version, resource, subresource }: RequestInfo): void {
    const values = [group, version, resource, subresource, '']
    const key = values.join('|')
    if (!this.#deprecated.has(key) && this.#deprecated.size < SERIES_LIMIT)
      this.#deprecated.set(key, values)
  }

  listed({ group, resource }: Pick<RequestInfo, 'group' | 'resource'>, objects: number): void {
    this.#lists.with(group, resource, '').add()
    this.#listed.with(group, resource).add(objects)
  }

  watchOpened(kind: string): () => void {
    this.watches.set(kind, (this.watches.get(kind) ?? 0) + 1)
    return () => this.watches.set(kind, (this.watches.get(kind) ?? 1) - 1)
  }

  watchCut({ group, resource }: Pick<RequestInfo, 'group' | 'resource'>): void {
    this.#cut.with(group, resource).add()
  }

  /** Kept by the watch, which counts what it sends. */
  watchEvents(group: string, version: string, resource: string): Counter {
    return this.#events.with(group, version, resource)
  }
}

const valuesOf = (labels: RequestLabels): readonly string[] => {
  const { verb, dryRun, group, version, resource, subresource, scope } = labels
  return [verb, dryRun, group, version, resource, subresource, scope, 'apiserver']
}

const OTHER: RequestLabels = {
  verb: 'other',
  dryRun: '',
  group: '',
  version: '',
  resource: 'other',
  subresource: '',
  scope: '',
}

/** Of writes to the store, under the names that upstream's store has. */
export function storageCounts(
  metrics: Metrics,
  operation: string,
  { group, resource }: { readonly group: string; readonly resource: string },
): { readonly times: Histogram; readonly total: Counter; readonly errors: () => Counter } {
  const labels = ['operation', 'group', 'resource']
  const counter = (name: string, help: string) =>
    metrics.counter({ name, help, labels }).with(operation, group, resource)
  return {
    times: metrics
      .histogram({
        name: 'etcd_request_duration_seconds',
        help: 'Time the store took for a write, by operation and resource.',
        labels,
        buckets: DURATION_BUCKETS,
      })
      .with(operation, group, resource),
    total: counter('etcd_requests_total', 'Writes that the store was asked for.'),
    errors: () => counter('etcd_request_errors_total', 'Writes that the store could not do.'),
  }
}
