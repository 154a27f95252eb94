/** What is counted of admission, under upstream's names: each plugin, and all of them together. */
import type { Histogram, Metrics } from '#base'

export type AdmissionStep = 'admit' | 'validate'

export interface AdmissionMetrics {
  plugin(name: string, step: AdmissionStep, operation: string, isRejected: boolean): Histogram
  step(step: AdmissionStep, operation: string, isRejected: boolean): Histogram
}

const BUCKETS = [0.005, 0.025, 0.1, 0.5, 1, 2.5]

export function admissionMetrics(metrics: Metrics): AdmissionMetrics {
  const labels = ['operation', 'rejected', 'type']
  const plugins = metrics.histogram({
    name: 'apiserver_admission_controller_admission_duration_seconds',
    help: 'Time that an admission plugin took.',
    labels: ['name', ...labels],
    buckets: BUCKETS,
  })
  const steps = metrics.histogram({
    name: 'apiserver_admission_step_admission_duration_seconds',
    help: 'Time that all plugins of a step took.',
    labels,
    buckets: BUCKETS,
  })
  return {
    plugin: (name, step, operation, isRejected) =>
      plugins.with(name, operation, String(isRejected), step),
    step: (step, operation, isRejected) => steps.with(operation, String(isRejected), step),
  }
}
