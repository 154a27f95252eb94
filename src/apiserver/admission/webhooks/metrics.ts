/** What is counted of webhooks, under upstream's names. */
import type { Env, Metrics } from '#base'
import { StatusError } from '#machinery'
import type { AdmissionRequest } from '../../admission.ts'
import { WebhookFailure } from './errors.ts'

export interface WebhookMetrics {
  /** Times and counts one call. */
  measure<T>(
    webhook: { readonly name: string; readonly failurePolicy?: string },
    request: AdmissionRequest,
    call: (traceparent: string | undefined) => Promise<T>,
  ): Promise<T>
}

const BUCKETS = [0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 25]
const PREFIX = 'apiserver_admission_webhook_'

export function webhookMetrics(
  { metrics, clock }: Pick<Env, 'metrics' | 'clock'>,
  type: 'admit' | 'validating',
): WebhookMetrics {
  const { durations, requests, rejections, failOpen } = familiesOf(metrics)
  return {
    async measure({ name, failurePolicy }, request, call) {
      const started = clock.monotonic()
      const told = (code: number, rejected: boolean): void => {
        const seconds = (clock.monotonic() - started) / 1000
        const { operation } = request
        durations.with(name, type, operation, String(rejected)).observe(seconds)
        requests.with(name, type, operation, String(code), String(rejected)).add()
      }
      try {
        const outside = { outside: true, parallel: true }
        const { trace } = request
        const result = await (trace?.part(`webhook ${name}`, call, outside) ?? call(undefined))
        told(200, false)
        return result
      } catch (error) {
        const isFailure = error instanceof WebhookFailure
        const code = error instanceof StatusError ? error.code : 0
        if (isFailure && failurePolicy === 'Ignore') {
          failOpen.with(name, type).add()
          told(code, false)
        } else {
          const why = isFailure
            ? 'calling_webhook_error'
            : error instanceof StatusError && code < 500
              ? 'no_error'
              : 'apiserver_internal_error'
          rejections.with(name, type, request.operation, why, String(code)).add()
          told(code, true)
        }
        throw error
      }
    },
  }
}

const familiesOf = (metrics: Metrics) => ({
  durations: metrics.histogram({
    name: `${PREFIX}admission_duration_seconds`,
    help: 'Time that a webhook took, by its name.',
    labels: ['name', 'type', 'operation', 'rejected'],
    buckets: BUCKETS,
  }),
  requests: metrics.counter({
    name: `${PREFIX}request_total`,
    help: 'Calls of webhooks, by name and code.',
    labels: ['name', 'type', 'operation', 'code', 'rejected'],
  }),
  rejections: metrics.counter({
    name: `${PREFIX}rejection_count`,
    help: 'Requests that webhooks have ended, and why.',
    labels: ['name', 'type', 'operation', 'error_type', 'rejection_code'],
  }),
  failOpen: metrics.counter({
    name: `${PREFIX}fail_open_count`,
    help: 'Requests that went on although a webhook could not be asked.',
    labels: ['name', 'type'],
  }),
})
