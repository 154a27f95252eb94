/** Counts of requests under the names that dashboards know, kept so that counting costs nearly nothing. */

const BUCKETS: readonly number[] = [
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
  readonly labels: RequestLabels
  readonly codes: Map<number, number>
  readonly buckets: Float64Array
  sum: number
  count: number
}

/** More than a cluster has resources and verbs; what comes later is counted as `other`. */
const SERIES_LIMIT = 4096

const quote = (value: string): string =>
  value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
const labelText = (labels: Readonly<Record<string, string>>): string =>
  Object.entries(labels)
    .map(([name, value]) => `${name}="${quote(value)}"`)
    .join(',')

export class RequestMetrics {
  readonly #series = new Map<string, Series>()
  readonly inFlight = { readOnly: 0, mutating: 0 }
  /** Open watches by `group|version|kind`. */
  readonly watches = new Map<string, number>()

  observe(labels: RequestLabels, code: number, seconds: number, longRunning: boolean): void {
    const { verb, group, version, resource, subresource, scope } = labels
    const key = `${verb}|${group}|${version}|${resource}|${subresource}|${scope}`
    let series = this.#series.get(key)
    if (series === undefined) {
      if (this.#series.size >= SERIES_LIMIT) return this.observe(OTHER, code, seconds, longRunning)
      const buckets = new Float64Array(BUCKETS.length + 1)
      series = { labels, codes: new Map(), buckets, sum: 0, count: 0 }
      this.#series.set(key, series)
    }
    series.codes.set(code, (series.codes.get(code) ?? 0) + 1)
    if (longRunning) return
    let bucket = 0
    while (bucket < BUCKETS.length && seconds > BUCKETS[bucket]!) bucket++
    series.buckets[bucket] = series.buckets[bucket]! + 1
    series.sum += seconds
    series.count++
  }

  watchOpened(kind: string): () => void {
    this.watches.set(kind, (this.watches.get(kind) ?? 0) + 1)
    return () => this.watches.set(kind, (this.watches.get(kind) ?? 1) - 1)
  }

  /** Prometheus text. `objects` counts what is stored, by resource. */
  text(objects: Iterable<readonly [resource: string, count: number]>): string {
    const lines: string[] = []
    const family = (name: string, type: string, help: string) =>
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`)
    family('apiserver_request_total', 'counter', 'Requests answered, by verb, resource and code.')
    for (const { labels, codes } of this.#series.values())
      for (const [code, count] of codes)
        lines.push(
          `apiserver_request_total{${labelText({ code: String(code), component: 'apiserver', dry_run: '', ...labels })}} ${count}`,
        )
    family(
      'apiserver_request_duration_seconds',
      'histogram',
      'Time to answer, by verb and resource.',
    )
    for (const { labels, buckets, sum, count } of this.#series.values()) {
      if (count === 0) continue
      const text = labelText({ component: 'apiserver', dry_run: '', ...labels })
      let below = 0
      for (const [i, bound] of [...BUCKETS.map(String), '+Inf'].entries()) {
        below += buckets[i]!
        lines.push(`apiserver_request_duration_seconds_bucket{${text},le="${bound}"} ${below}`)
      }
      lines.push(`apiserver_request_duration_seconds_sum{${text}} ${sum}`)
      lines.push(`apiserver_request_duration_seconds_count{${text}} ${count}`)
    }
    family('apiserver_current_inflight_requests', 'gauge', 'Requests in the works.')
    lines.push(
      `apiserver_current_inflight_requests{request_kind="readOnly"} ${this.inFlight.readOnly}`,
      `apiserver_current_inflight_requests{request_kind="mutating"} ${this.inFlight.mutating}`,
    )
    family('apiserver_longrunning_requests', 'gauge', 'Open watches, by kind.')
    for (const [kind, count] of this.watches) {
      const [group = '', version = '', resource = ''] = kind.split('|')
      lines.push(
        `apiserver_longrunning_requests{${labelText({ verb: 'WATCH', group, version, resource, component: 'apiserver' })}} ${count}`,
      )
    }
    family('apiserver_storage_objects', 'gauge', 'Objects stored, by resource.')
    for (const [resource, count] of objects)
      lines.push(`apiserver_storage_objects{${labelText({ resource })}} ${count}`)
    return `${lines.join('\n')}\n`
  }
}

const OTHER: RequestLabels = {
  verb: 'other',
  group: '',
  version: '',
  resource: 'other',
  subresource: '',
  scope: '',
}
