/** Runs the admission plugins over a request, and counts what they took. */
import type { Awaitable, Env } from '#base'
import type { AdmissionMetrics, AdmissionStep } from '../metrics/index.ts'
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts'

interface Runner {
  readonly env: Pick<Env, 'clock'>
  readonly admission: () => readonly AdmissionPlugin[]
  readonly admissionMetrics: AdmissionMetrics
}

/**
 * The plugins that change, in their order. What they leave needs no defaults: others' changes have got theirs already.
 * An object may be changed already, as an earlier one was whose spec and sources were the same.
 */
export const mutate = (
  writer: Runner,
  request: AdmissionRequest,
  { isChanged = false } = {},
): Awaitable<void> => inStep(writer, request, 'admit', isChanged)

/** What the changes of all plugins come from, besides the object's spec; undefined when that cannot be said. */
export function sourcesOf(
  { admission }: Runner,
  request: AdmissionRequest,
): readonly unknown[] | undefined {
  const all: unknown[] = [request.namespace]
  for (const plugin of admission()) {
    if (plugin.mutate === undefined || plugin.changesNothing === true) continue
    if (!plugin.handles(request)) continue
    const sources = plugin.sources?.(request)
    if (sources === undefined) return undefined
    for (const source of sources) all.push(source)
  }
  return all
}

/** The plugins that refuse, in their order. */
export const admit = (writer: Runner, request: AdmissionRequest): Awaitable<void> =>
  inStep(writer, request, 'validate', false)

interface Asking {
  readonly runner: Runner
  readonly request: AdmissionRequest
  readonly step: AdmissionStep
  readonly plugins: readonly AdmissionPlugin[]
  /** The object is as those would make it whose sources are known. */
  readonly isChanged: boolean
}

/** Those who change are asked once more when one of them wants it. */
function inRounds(asking: Asking): Awaitable<void> {
  const asked = ask(asking, 0)
  if (asking.step === 'validate') return asked
  return asked instanceof Promise ? asked.then(() => again(asking)) : again(asking)
}

function again(asking: Asking): Awaitable<void> {
  const { rounds } = asking.request
  if (!rounds.again) return undefined
  Object.assign(rounds, { isSecond: true, again: false })
  return ask(asking, 0)
}

/** One plugin after another: each begins when the one before it ends, so that the clock is read once for both. */
function ask(asking: Asking, from: number): Awaitable<void> {
  const { runner, request, step, plugins } = asking
  let began = runner.env.clock.monotonic()
  for (let at = from; at < plugins.length; at++) {
    const plugin = plugins[at]!
    const run = step === 'admit' ? plugin.mutate : plugin.validate
    if (run === undefined || !plugin.handles(request)) continue
    if (asking.isChanged && plugin.sources !== undefined) {
      began = count(asking, plugin, began, false)
      continue
    }
    let running: Awaitable<void>
    try {
      running = run.call(plugin, request)
    } catch (error) {
      count(asking, plugin, began, true)
      throw error
    }
    // Most need not wait.
    if (running instanceof Promise) return askLater(asking, running, at, began)
    began = count(asking, plugin, began, false)
  }
  return undefined
}

async function askLater(
  asking: Asking,
  running: Promise<void>,
  at: number,
  began: number,
): Promise<void> {
  const plugin = asking.plugins[at]!
  let isRejected = true
  try {
    await running
    isRejected = false
  } finally {
    count(asking, plugin, began, isRejected)
  }
  await ask(asking, at + 1)
}

/** Gives the time. */
function count(
  { runner: { admissionMetrics, env }, request, step }: Asking,
  plugin: AdmissionPlugin,
  began: number,
  isRejected: boolean,
): number {
  const ended = env.clock.monotonic()
  const histogram = admissionMetrics.plugin(plugin.name, step, request.operation, isRejected)
  histogram.observe((ended - began) / 1000)
  return ended
}

const STEP_NAMES = { admit: 'mutating admission', validate: 'validating admission' } as const

const runStep = (_: string | undefined, asking: Asking): Awaitable<void> => inRounds(asking)

function inStep(
  runner: Runner,
  request: AdmissionRequest,
  step: AdmissionStep,
  isChanged: boolean,
): Awaitable<void> {
  const began = runner.env.clock.monotonic()
  const asking: Asking = { runner, request, step, plugins: runner.admission(), isChanged }
  let running: Awaitable<void>
  try {
    running =
      request.trace === undefined
        ? inRounds(asking)
        : request.trace.part(STEP_NAMES[step], runStep, undefined, asking)
  } catch (error) {
    countStep(asking, began, true)
    throw error
  }
  if (running instanceof Promise) return stepLater(asking, running, began)
  countStep(asking, began, false)
  return undefined
}

async function stepLater(asking: Asking, running: Promise<void>, began: number): Promise<void> {
  let isRejected = true
  try {
    await running
    isRejected = false
  } finally {
    countStep(asking, began, isRejected)
  }
}

function countStep(
  { runner: { admissionMetrics, env }, request, step }: Asking,
  began: number,
  isRejected: boolean,
): void {
  const seconds = (env.clock.monotonic() - began) / 1000
  admissionMetrics.step(step, request.operation, isRejected).observe(seconds)
}
