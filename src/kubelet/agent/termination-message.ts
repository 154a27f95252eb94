/** A container's last words: a file that it wrote, or the end of its log when it failed without one. */
import { join } from 'node:path'
import type { Pod } from '#api'
import type { KubeletContext } from '../context.ts'
import { logTail } from '../logs.ts'
import { uidOf } from '../pod/containers.ts'
import type { PodContainer } from '../pod/pod-runtime.ts'
import { ANNOTATION } from '../runtime.ts'
import { podFolder } from '../volumes/pod-volumes.ts'

const MAX_BYTES = 4096

export const terminationLogPath = (folder: string, container: string, attempt: number): string =>
  join(folder, 'containers', container, String(attempt))

/** Undefined when there is none. */
export async function terminationMessage(
  {
    context,
    pod,
  }: {
    readonly context: Pick<KubeletContext, 'runtime' | 'env' | 'volumeOptions'>
    readonly pod: Pod
  },
  container: PodContainer,
): Promise<string | undefined> {
  const { runtime, env, volumeOptions } = context
  if (!runtime.simulated) {
    const folder = podFolder(volumeOptions.podsFolder, uidOf(pod))
    const path = terminationLogPath(folder, container.name, container.attempt)
    const bytes = await env.fs.read(path).catch(() => new Uint8Array())
    if (bytes.length > 0) return Buffer.from(bytes.subarray(0, MAX_BYTES)).toString()
  }
  const policy = container.annotations[ANNOTATION.terminationMessagePolicy]
  if (policy !== 'FallbackToLogsOnError' || container.exitCode === 0) return undefined
  const text = await logTail(runtime.logFiles, container.logPath).catch(() => '')
  return text === '' ? undefined : text
}
