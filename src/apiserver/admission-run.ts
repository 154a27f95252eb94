/** Runs the admission plugins over a request, and counts what they took. */
import type { Env } from '#base'
import type { AdmissionMetrics, AdmissionStep } from './admission-metrics.ts'
import type { AdmissionPlugin, AdmissionRequest } from './admission.ts'

interface Runner {
  readonly env: Pick<Env, 'clock'>
  readonly admission: () => readonly AdmissionPlugin[]
  readonly admissionMetrics: AdmissionMetrics
}

/** The plugins that change, in their order. What they leave needs no defaults: others' changes have got theirs already. */
export async function mutate(writer: Runner, request: AdmissionRequest): Promise<void> {
  const round = (): Promise<void> =>
    each(writer, request, 'admit', (plugin) => plugin.mutate?.(request))
  await inStep(writer, request, 'admit', async () => {
    await round()
    if (!request.rounds.again) return
    Object.assign(request.rounds, { isSecond: true, again: false })
    await round()
  })
}

/** The plugins that refuse, in their order. */
export const admit = (writer: Runner, request: AdmissionRequest): Promise<void> =>
  inStep(writer, request, 'validate', () =>
    each(writer, request, 'validate', (plugin) => plugin.validate?.(request)),
  )

const WHAT = { admit: 'mutate', validate: 'validate' } as const

/** One plugin after another: each begins when the one before it ends, so that the clock is read once for both. */
async function each(
  { admission, admissionMetrics, env: { clock } }: Runner,
  request: AdmissionRequest,
  step: AdmissionStep,
  run: (plugin: AdmissionPlugin) => Promise<void> | void,
): Promise<void> {
  const { operation } = request
  let began = clock.monotonic()
  for (const plugin of admission()) {
    if (plugin[WHAT[step]] === undefined || !plugin.handles(request)) continue
    let isRejected = true
    try {
      const running = run(plugin)
      if (running instanceof Promise) await running
      isRejected = false
    } finally {
      const ended = clock.monotonic()
      const histogram = admissionMetrics.plugin(plugin.name, step, operation, isRejected)
      histogram.observe((ended - began) / 1000)
      began = ended
    }
  }
}

const STEP_NAMES = { admit: 'mutating admission', validate: 'validating admission' } as const

async function inStep(
  { admissionMetrics, env: { clock } }: Runner,
  request: AdmissionRequest,
  step: AdmissionStep,
  run: () => Promise<void>,
): Promise<void> {
  const began = clock.monotonic()
  let isRejected = true
  try {
    await (request.trace?.part(STEP_NAMES[step], run) ?? run())
    isRejected = false
  } finally {
    const seconds = (clock.monotonic() - began) / 1000
    admissionMetrics.step(step, request.operation, isRejected).observe(seconds)
  }
}
