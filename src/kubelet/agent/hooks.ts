/** What a container's lifecycle says to do after its start and before its end. */
import type { Env } from '#base'
import type { LifecycleHandler, Pod } from '#api'
import { podLabel } from '../pod/containers.ts'
import { get } from '../probes/http.ts'
import { type ProbeTarget, httpTarget, isOfPod } from '../probes/run.ts'
import type { Runtime } from '../runtime.ts'

/** Letters of a command's output that are shown. */
const MAX_OUTPUT = 1024

export interface HookTarget extends ProbeTarget {
  readonly pod: Pod
}

/** Throws when the hook fails, with what the status of the container is to say (events are not to: it may hold secrets). */
export async function runHook(
  handler: LifecycleHandler,
  target: HookTarget,
  runtime: Runtime,
  env: Pick<Env, 'net' | 'clock'>,
  signal: AbortSignal,
): Promise<void> {
  try {
    await run(handler, target, runtime, env, signal)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    const where = `for Container ${JSON.stringify(target.container.name)} in Pod "${podLabel(target.pod)}"`
    throw new Error(`${told(handler)} ${where} failed - error: ${reason}`, { cause: error })
  }
}

const told = ({ exec, httpGet, sleep }: LifecycleHandler): string =>
  exec !== undefined
    ? `Exec lifecycle hook ([${(exec.command ?? []).join(' ')}])`
    : httpGet !== undefined
      ? `HTTP lifecycle hook (${httpGet.path ?? ''})`
      : `Sleep lifecycle hook (${sleep?.seconds ?? 0})`

async function run(
  handler: LifecycleHandler,
  target: ProbeTarget,
  runtime: Runtime,
  env: Pick<Env, 'net' | 'clock'>,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted()
  const { exec, httpGet, sleep } = handler
  if (exec !== undefined) {
    const command = exec.command ?? []
    const { exitCode, stdout, stderr } = await Promise.race([
      runtime.execSync(target.containerId, command, 0),
      aborted(signal),
    ])
    if (exitCode === 0) return
    const output = Buffer.concat([stdout, stderr]).toString().slice(0, MAX_OUTPUT)
    const said = Buffer.from(stderr).toString().slice(0, MAX_OUTPUT)
    throw new Error(
      `command '${command.join(' ')}' exited with ${exitCode}: ${said}, message: ${JSON.stringify(output)}`,
    )
  }
  if (httpGet !== undefined) {
    if (runtime.simulated && isOfPod({ httpGet }, target)) return
    // A hook is told by its arrival: whatever the answer is.
    await get(httpTarget(httpGet, target), env.net, signal)
    return
  }
  if (sleep !== undefined) await env.clock.sleep(sleep.seconds * 1000, signal)
}

const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    signal.addEventListener(
      'abort',
      () => reject(signal.reason instanceof Error ? signal.reason : new Error('aborted')),
      { once: true },
    )
  })
