/** What clients count of their requests, under upstream's names. */
import type { Clock, Counter, Histogram, Metrics } from '#base'

const BUCKETS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60]

/** Begins a request; what it gives is told the code of the answer, `<error>` when there was none. */
export function clientCounts(
  metrics: Metrics,
  { monotonic }: Pick<Clock, 'monotonic'>,
  host: string,
): (method: string) => (code: number | '<error>') => void {
  const totals = metrics.counter({
    name: 'rest_client_requests_total',
    help: 'Requests of clients in this program, by code.',
    labels: ['code', 'method', 'host'],
  })
  const durations = metrics.histogram({
    name: 'rest_client_request_duration_seconds',
    help: 'Time until the answer, by method.',
    labels: ['verb', 'host'],
    buckets: BUCKETS,
  })
  const known = new Map<string, Counter>()
  const times = new Map<string, Histogram>()
  return (method) => {
    const started = monotonic()
    return (code) => {
      const key = `${method} ${code}`
      let total = known.get(key)
      if (total === undefined) {
        total = totals.with(String(code), method, host)
        known.set(key, total)
      }
      total.add()
      let time = times.get(method)
      if (time === undefined) {
        time = durations.with(method, host)
        times.set(method, time)
      }
      time.observe((monotonic() - started) / 1000)
    }
  }
}
