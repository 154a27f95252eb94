/** What the server counts of itself, under upstream's names, so that counting costs nearly nothing. */
import type { Counter, Histogram, Labelled, Metrics } from '#base'

const DURATION_BUCKETS: readonly number[] = [
  0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45,
  60,
]
export interface RequestLabels {
  readonly verb: string
  readonly group: string
  readonly version: string
  readonly resource: string
  readonly subresource: string
  readonly scope: 'cluster' | 'namespace' | 'resource' | ''
}

interface Series {
  readonly codes: Map<number, Counter>
  readonly duration: () => Histogram
}

/** More than a cluster has resources and verbs; what comes later is counted as `other`. */
const SERIES_LIMIT = 4096

export class RequestMetrics {
  readonly #series = new Map<string, Series>()
  readonly inFlight = { readOnly: 0, mutating: 0 }
  /** Open watches by `group|version|resource`. */
  readonly watches = new Map<string, number>()
  readonly #totals: Labelled<Counter>
  readonly #durations: Labelled<Histogram>
  readonly #events: Labelled<Counter>

  /** `objects` counts what is stored, by resource. */
  constructor(
    metrics: Metrics,
    objects: () => Iterable<readonly [resource: string, count: number]> = () => [],
  ) {
    const request = ['verb', 'dry_run', 'group', 'version', 'resource', 'subresource', 'scope']
    this.#totals = metrics.counter({
      name: 'apiserver_request_total',
      help: 'Requests answered, by verb, resource and code.',
      labels: [...request, 'component', 'code'],
    })
    this.#durations = metrics.histogram({
      name: 'apiserver_request_duration_seconds',
      help: 'Time to answer, by verb and resource.',
      labels: [...request, 'component'],
      buckets: DURATION_BUCKETS,
    })
    this.#events = metrics.counter({
      name: 'apiserver_watch_events_total',
      help: 'Events sent to watches, by resource.',
      labels: ['group', 'version', 'resource'],
    })
    metrics.gauge(
      {
        name: 'apiserver_current_inflight_requests',
        help: 'Requests in the works.',
        labels: ['request_kind'],
      },
      () => [
        [['readOnly'], this.inFlight.readOnly],
        [['mutating'], this.inFlight.mutating],
      ],
    )
    metrics.gauge(
      {
        name: 'apiserver_longrunning_requests',
        help: 'Open watches, by resource.',
        labels: ['verb', 'group', 'version', 'resource', 'component'],
      },
      () =>
        Array.from(this.watches, ([kind, count]) => {
          const [group = '', version = '', resource = ''] = kind.split('|')
          return [['WATCH', group, version, resource, 'apiserver'], count] as const
        }),
    )
    for (const name of ['apiserver_storage_objects', 'apiserver_resource_objects'])
      metrics.gauge({ name, help: 'Objects stored, by resource.', labels: ['resource'] }, () =>
        Array.from(objects(), ([resource, count]) => [[resource], count] as const),
      )
  }

  observe(labels: RequestLabels, code: number, seconds: number, longRunning: boolean): void {
    const { verb, group, version, resource, subresource, scope } = labels
    const key = `${verb}|${group}|${version}|${resource}|${subresource}|${scope}`
    let series = this.#series.get(key)
    const values = (): readonly string[] => [verb, '', group, version, resource, subresource, scope]
    if (series === undefined) {
      if (this.#series.size >= SERIES_LIMIT) return this.observe(OTHER, code, seconds, longRunning)
      let duration: Histogram | undefined
      series = {
        codes: new Map(),
        duration: () => (duration ??= this.#durations.with(...values(), 'apiserver')),
      }
      this.#series.set(key, series)
    }
    let total = series.codes.get(code)
    if (total === undefined) {
      total = this.#totals.with(...values(), 'apiserver', String(code))
      series.codes.set(code, total)
    }
    total.add()
    if (!longRunning) series.duration().observe(seconds)
  }

  watchOpened(kind: string): () => void {
    this.watches.set(kind, (this.watches.get(kind) ?? 0) + 1)
    return () => this.watches.set(kind, (this.watches.get(kind) ?? 1) - 1)
  }

  /** Kept by the watch, which counts what it sends. */
  watchEvents(group: string, version: string, resource: string): Counter {
    return this.#events.with(group, version, resource)
  }
}

/** Times of writes to the store, under the name that upstream's store has. */
export const storageTimes = (
  metrics: Metrics,
  operation: string,
  { group, resource }: { readonly group: string; readonly resource: string },
): Histogram =>
  metrics
    .histogram({
      name: 'etcd_request_duration_seconds',
      help: 'Time the store took for a write, by operation and resource.',
      labels: ['operation', 'group', 'resource'],
      buckets: DURATION_BUCKETS,
    })
    .with(operation, group, resource)

const OTHER: RequestLabels = {
  verb: 'other',
  group: '',
  version: '',
  resource: 'other',
  subresource: '',
  scope: '',
}
