/** Runs the admission plugins over a request, and counts what they took. */
import type { Env } from '#base'
import type { AdmissionMetrics, AdmissionStep } from './admission-metrics.ts'
import type { AdmissionPlugin, AdmissionRequest } from './admission.ts'

interface Runner {
  readonly env: Pick<Env, 'clock'>
  readonly admission: () => readonly AdmissionPlugin[]
  readonly admissionMetrics: AdmissionMetrics
}

/** The plugins that change, in their order; true when any has looked. */
export async function mutate(writer: Runner, request: AdmissionRequest): Promise<boolean> {
  let ran = false
  const round = async (): Promise<void> => {
    for (const plugin of writer.admission())
      if (plugin.mutate !== undefined && plugin.handles(request)) {
        const told = counting(writer, request, 'admit', plugin)
        try {
          await plugin.mutate(request)
        } catch (error) {
          told(true)
          throw error
        }
        told(false)
        ran = true
      }
  }
  await inStep(writer, request, 'admit', async () => {
    await round()
    if (!request.rounds.again) return
    Object.assign(request.rounds, { isSecond: true, again: false })
    await round()
  })
  return ran
}

/** Begins to time one plugin, or all of them; what it gives is told whether they refused. */
function counting(
  { admissionMetrics, env: { clock } }: Runner,
  { operation }: AdmissionRequest,
  step: AdmissionStep,
  plugin?: AdmissionPlugin,
): (isRejected: boolean) => void {
  const started = clock.monotonic()
  return (isRejected) => {
    const seconds = (clock.monotonic() - started) / 1000
    const histogram =
      plugin === undefined
        ? admissionMetrics.step(step, operation, isRejected)
        : admissionMetrics.plugin(plugin.name, step, operation, isRejected)
    histogram.observe(seconds)
  }
}

const STEP_NAMES = { admit: 'mutating admission', validate: 'validating admission' } as const

async function inStep(
  writer: Runner,
  request: AdmissionRequest,
  step: AdmissionStep,
  run: () => Promise<void>,
): Promise<void> {
  const told = counting(writer, request, step)
  try {
    await (request.trace?.part(STEP_NAMES[step], run) ?? run())
  } catch (error) {
    told(true)
    throw error
  }
  told(false)
}

/** The plugins that refuse, in their order. */
export async function admit(writer: Runner, request: AdmissionRequest): Promise<void> {
  await inStep(writer, request, 'validate', async () => {
    for (const plugin of writer.admission()) {
      if (plugin.validate === undefined || !plugin.handles(request)) continue
      const told = counting(writer, request, 'validate', plugin)
      try {
        await plugin.validate(request)
      } catch (error) {
        told(true)
        throw error
      }
      told(false)
    }
  })
}
