/** What is counted of admission, under upstream's names: each plugin, and all of them together. */
import type { Histogram, Metrics } from '#base'

export type AdmissionStep = 'admit' | 'validate'

type Operation = 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT'

export interface AdmissionMetrics {
  plugin(name: string, step: AdmissionStep, operation: Operation, isRejected: boolean): Histogram
  step(step: AdmissionStep, operation: Operation, isRejected: boolean): Histogram
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
  const ofPlugins = new Map<string, Times>()
  const ofSteps: Times = []
  return {
    plugin(name, step, operation, isRejected) {
      let times = ofPlugins.get(name)
      if (times === undefined) ofPlugins.set(name, (times = []))
      return (times[placeOf(step, operation, isRejected)] ??= plugins.with(
        name,
        operation,
        String(isRejected),
        step,
      ))
    },
    step: (step, operation, isRejected) =>
      (ofSteps[placeOf(step, operation, isRejected)] ??= steps.with(
        operation,
        String(isRejected),
        step,
      )),
  }
}

/** Every request is counted by a dozen plugins, twice: theirs are found by number. */
type Times = (Histogram | undefined)[]
const PLACES: Readonly<Record<Operation, number>> = { CREATE: 0, UPDATE: 4, DELETE: 8, CONNECT: 12 }
const placeOf = (step: AdmissionStep, operation: Operation, isRejected: boolean): number =>
  PLACES[operation] + (step === 'admit' ? 0 : 2) + (isRejected ? 1 : 0)
