/** A machine after a cluster: as it was before. */
import { join } from 'node:path'
import type { Env } from '#base'
import { destroyContainerd, removePodLogs } from '#kubelet'
import { removePodNetwork, removeRoutes, removeServiceRules } from '#network'
import { removeControlGroup } from './control-groups.ts'
import { rememberedRange } from './kept-network.ts'
import { removeNodes } from './machine-nodes/index.ts'
import { namesFor } from './names.ts'
import type { AgentProgram, ServeOptions } from './options.ts'

/** Removes all that a stopped cluster has on this machine. */
export async function purge(
  {
    dataDir,
    runDir,
    agent,
  }: Pick<ServeOptions, 'dataDir' | 'runDir'> & {
    readonly agent: AgentProgram
  },
  env: Env,
): Promise<void> {
  const names = namesFor({ runDir })
  await removeNodes(env, { dataDir, runDir }, agent)
  const podCidr = await rememberedRange(env, dataDir)
  if (podCidr !== undefined) await removeRoutes({ env, clusterCidr: podCidr })
  if (await env.fs.stat(join(dataDir, 'containerd'))) {
    await destroyContainerd({ env, dataDir, runDir })
    await removeServiceRules({ env, table: names.serviceTable })
    await removePodNetwork({ env, bridge: names.bridge, table: names.podTable })
  }
  await removeControlGroup(env, names.cgroup)
  await removePodLogs(env, join(dataDir, 'kubelet'))
  await unmountBelow(env, [runDir, dataDir])
  await env.fs.remove(runDir)
  await env.fs.remove(dataDir)
}

/** Volumes of pods in memory, and whatever else is mounted there: the deepest first. */
async function unmountBelow(env: Env, folders: readonly string[]): Promise<void> {
  const table = await env.fs.readText('/proc/self/mountinfo').catch(() => '')
  const points = table
    .split('\n')
    .map((line) =>
      (line.split(' ')[4] ?? '').replaceAll(/\\(\d{3})/g, (_, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      ),
    )
    .filter((point) => folders.some((folder) => point.startsWith(`${folder}/`)))
    .toSorted((a, b) => b.length - a.length)
  for (const point of points) await env.process.run(['umount', '-l', point])
}
