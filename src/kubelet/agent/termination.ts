/** Ends containers: the hook before, SIGTERM, the grace, SIGKILL. Sidecars go after those they served. */
import type { StartedPod } from './started-pod.ts'
import { runHook } from './hooks.ts'
import { findContainer, isSidecar } from '../pod/containers.ts'
import { type PodContainer, runningContainers } from '../pod/pod-runtime.ts'

export interface KillOptions {
  readonly graceSeconds: number
  /** With an event. */
  readonly announce: boolean
  readonly signal: AbortSignal
}

/** Even what is killed at once gets a moment to be told. */
const MIN_GRACE_SECONDS = 1
const MIN_SIDECAR_SECONDS = 2

export async function stopContainers(agent: StartedPod, options: KillOptions): Promise<void> {
  const { clock } = agent.context.env
  const sinceMs = clock.monotonic()
  const running = runningContainers(agent.view.runtime)
  const sidecars: PodContainer[] = []
  const others: PodContainer[] = []
  for (const container of running) {
    const found = findContainer(agent.pod, container.name)
    const serves = found !== undefined && isSidecar(found[0], found[1])
    if (serves) sidecars.push(container)
    else others.push(container)
  }
  await Promise.all(others.map((container) => stopOne(agent, container, options)))
  // In the opposite order of their start.
  const order = (agent.pod.spec.initContainers ?? []).map(({ name }) => name)
  sidecars.sort((a, b) => order.indexOf(b.name) - order.indexOf(a.name))
  for (const container of sidecars) {
    const used = (clock.monotonic() - sinceMs) / 1000
    const graceSeconds = Math.max(
      Math.min(MIN_SIDECAR_SECONDS, options.graceSeconds),
      options.graceSeconds - used,
    )
    await stopOne(agent, container, { ...options, graceSeconds })
  }
}

export async function stopOne(
  agent: StartedPod,
  container: PodContainer,
  options: KillOptions,
): Promise<void> {
  const { runtime, env } = agent.context
  if (options.announce) {
    agent.event('Normal', 'Killing', `Stopping container ${container.name}`, container.name)
  }
  const sinceMs = env.clock.monotonic()
  if (options.graceSeconds > 0) await preStop(agent, container, options)
  const used = (env.clock.monotonic() - sinceMs) / 1000
  await runtime.stopContainer(
    container.id,
    Math.max(MIN_GRACE_SECONDS, options.graceSeconds - used),
  )
  await agent.view.refresh(container.id)
}

async function preStop(
  agent: StartedPod,
  container: PodContainer,
  { graceSeconds, signal }: KillOptions,
): Promise<void> {
  const { runtime, env } = agent.context
  const spec = findContainer(agent.pod, container.name)?.[0]
  const hook = spec?.lifecycle?.preStop
  if (spec === undefined || hook === undefined) return
  const deadline = new AbortController()
  const cancel = env.clock.schedule(graceSeconds * 1000, () =>
    deadline.abort(new Error('grace period exceeded')),
  )
  try {
    await runHook(
      hook,
      {
        pod: agent.pod,
        container: spec,
        containerId: container.id,
        podIp: agent.podIps[0] ?? '',
      },
      runtime,
      env,
      AbortSignal.any([deadline.signal, signal]),
    )
  } catch {
    if (deadline.signal.aborted || signal.aborted) return
    // What the hook said stays out of the event: it may hold secrets.
    agent.event('Warning', 'FailedPreStopHook', 'PreStopHook failed', container.name)
  } finally {
    cancel()
  }
}
