/** In-place resize: brings running containers to the resources that their pod states now. */
import type { PodAgent } from './pod-agent.ts'
import { makePodCgroup } from './host.ts'
import { allContainers } from './pod/containers.ts'
import { newestContainer } from './pod/pod-runtime.ts'
import { linuxResources } from './pod/resources.ts'
import type { LinuxResources } from './runtime.ts'

/** What each container was made with or brought to; a container that is not in it was made by an earlier kubelet. */
const applied = new WeakMap<PodAgent, Map<string, string>>()

const keyOf = ({ cpuQuota, cpuShares, memoryLimitInBytes }: LinuxResources): string =>
  JSON.stringify([cpuQuota ?? -1, cpuShares, memoryLimitInBytes ?? -1])

export async function resizeContainers(agent: PodAgent): Promise<void> {
  const { context, pod } = agent
  const { machine, runtime, config, env } = context
  const known = applied.get(agent) ?? new Map<string, string>()
  applied.set(agent, known)
  for (const [container, kind] of allContainers(pod)) {
    if (kind === 'ephemeral') continue
    const running = newestContainer(agent.runtime, container.name)
    if (running?.state !== 'running') continue
    const wanted = linuxResources(pod, container, machine)
    const key = keyOf(wanted)
    const before = known.get(running.id)
    known.set(running.id, key)
    if (before === undefined || before === key) continue
    // The pod's own bounds first when they grow, so that the container's fit below them.
    if (!runtime.simulated) {
      await makePodCgroup(
        pod,
        { machine, root: config.cgroupRoot, podPidsLimit: config.podPidsLimit },
        env,
      )
    }
    const { oomScoreAdj: _, ...resources } = wanted
    await runtime.updateContainerResources(running.id, {
      ...resources,
      // Without a limit: as much as there is.
      cpuQuota: wanted.cpuQuota ?? -1,
    })
    agent.event(
      'Normal',
      'ResizeCompleted',
      `Pod resize completed: ${JSON.stringify({ container: container.name, resources: container.resources ?? {} })}`,
    )
  }
}
