/** What a container's lifecycle says to do after its start and before its end. */
import type { Env } from '#base'
import type { LifecycleHandler } from '#api'
import { get } from '../probes/http.ts'
import { type ProbeTarget, httpTarget } from '../probes/run.ts'
import type { Runtime } from '../runtime.ts'

/** Throws with the reason when the hook fails. */
export async function runHook(
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
    const output = Buffer.concat([stdout, stderr]).toString().slice(0, 1024)
    throw new Error(
      `command '${command.join(' ')}' exited with ${exitCode}: ${output}, message: ${JSON.stringify(output)}`,
    )
  }
  if (httpGet !== undefined) {
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
