/** Runs the admission plugins over a request, and counts what they took. */
import { follow, type Awaitable, type Env } from '#base'
import type { AdmissionMetrics, AdmissionStep } from '../metrics/index.ts'
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts'

interface Runner {
  readonly env: Pick<Env, 'clock'>
  readonly admission: () => readonly AdmissionPlugin[]
  readonly admissionMetrics: AdmissionMetrics
}

/** The plugins that change, in their order. What they leave needs no defaults: others' changes have got theirs already. */
export const mutate = (writer: Runner, request: AdmissionRequest): Awaitable<void> =>
  inStep(writer, request, 'admit', () =>
    follow(ask(writer, request, 'admit', writer.admission()), () => {
      if (!request.rounds.again) return undefined
      Object.assign(request.rounds, { isSecond: true, again: false })
      return ask(writer, request, 'admit', writer.admission())
    }),
  )

/** The plugins that refuse, in their order. */
export const admit = (writer: Runner, request: AdmissionRequest): Awaitable<void> =>
  inStep(writer, request, 'validate', () => ask(writer, request, 'validate', writer.admission()))

/** One plugin after another: each begins when the one before it ends, so that the clock is read once for both. */
function ask(
  { admissionMetrics, env: { clock } }: Runner,
  request: AdmissionRequest,
  step: AdmissionStep,
  plugins: readonly AdmissionPlugin[],
): Awaitable<void> {
  let began = clock.monotonic()
  const count = (plugin: AdmissionPlugin, isRejected: boolean): void => {
    const ended = clock.monotonic()
    const histogram = admissionMetrics.plugin(plugin.name, step, request.operation, isRejected)
    histogram.observe((ended - began) / 1000)
    began = ended
  }
  const next = (from: number): Awaitable<void> => {
    for (let at = from; at < plugins.length; at++) {
      const plugin = plugins[at]!
      const run = step === 'admit' ? plugin.mutate : plugin.validate
      if (run === undefined || !plugin.handles(request)) continue
      let running: Awaitable<void>
      try {
        running = run.call(plugin, request)
      } catch (error) {
        count(plugin, true)
        throw error
      }
      // Most need not wait.
      if (running instanceof Promise) return later(running, plugin, at)
      count(plugin, false)
    }
    return undefined
  }
  const later = async (
    running: Promise<void>,
    plugin: AdmissionPlugin,
    at: number,
  ): Promise<void> => {
    let isRejected = true
    try {
      await running
      isRejected = false
    } finally {
      count(plugin, isRejected)
    }
    await next(at + 1)
  }
  return next(0)
}

const STEP_NAMES = { admit: 'mutating admission', validate: 'validating admission' } as const

function inStep(
  { admissionMetrics, env: { clock } }: Runner,
  request: AdmissionRequest,
  step: AdmissionStep,
  run: () => Awaitable<void>,
): Awaitable<void> {
  const began = clock.monotonic()
  const count = (isRejected: boolean): void => {
    const seconds = (clock.monotonic() - began) / 1000
    admissionMetrics.step(step, request.operation, isRejected).observe(seconds)
  }
  const refuse = (error: unknown): never => {
    count(true)
    throw error
  }
  try {
    const running = request.trace === undefined ? run() : request.trace.part(STEP_NAMES[step], run)
    if (running instanceof Promise) return running.then(() => count(false), refuse)
  } catch (error) {
    return refuse(error)
  }
  count(false)
  return undefined
}
