/** Keeps the agents' view of the runtime true: by its events, and by a slow look at everything. */
import type { Env } from '#base'
import type { PodAgent } from './agent/pod-agent.ts'
import { MAX_LOG_BYTES, rotateLog } from './logs.ts'
import type { PodRuntime } from './pod/pod-runtime.ts'
import { byAge } from './pod/pod-runtime.ts'
import { LABEL, type Runtime, RuntimeError } from './runtime.ts'

/** Everything the runtime holds, by pod: what an earlier kubelet left running is found again. */
export async function readRuntime(runtime: Runtime): Promise<ReadonlyMap<string, PodRuntime>> {
  const [sandboxes, containers] = await Promise.all([
    runtime.listPodSandboxes(),
    runtime.listContainers(),
  ])
  const [sandboxStatuses, containerStatuses] = await Promise.all([
    Promise.all(sandboxes.map(({ id }) => runtime.podSandboxStatus(id))),
    Promise.all(
      containers.map(async ({ id, sandboxId }) => {
        const status = await runtime.containerStatus(id)
        return status === undefined ? undefined : { ...status, sandboxId }
      }),
    ),
  ])
  const found = new Map<
    string,
    { sandboxes: PodRuntime['sandboxes']; containers: PodRuntime['containers'] }
  >()
  const at = (uid: string) => {
    const pod = found.get(uid) ?? { sandboxes: [], containers: [] }
    found.set(uid, pod)
    return pod
  }
  for (const sandbox of sandboxStatuses) {
    if (sandbox === undefined) continue
    const pod = at(sandbox.metadata.uid)
    pod.sandboxes = [...pod.sandboxes, sandbox].toSorted(
      (a, b) => b.createdAt.getTime() - a.createdAt.getTime(),
    )
  }
  for (const container of containerStatuses) {
    if (container === undefined) continue
    const pod = at(container.labels[LABEL.podUid] ?? '')
    pod.containers = [...pod.containers, container].toSorted(byAge)
  }
  return found
}

/** With events only what they may have missed is looked for; without them it is all there is. */
const RELIST_MS = 30_000
const RELIST_WITHOUT_EVENTS_MS = 1000
const RECONNECT_MS = 200

/** The agents of one node, and what their containers run in. */
export interface FollowedNode {
  /** By the uids of their pods. */
  readonly agents: ReadonlyMap<string, PodAgent>
  readonly runtime: Runtime
  readonly env: Env
  /** Which pod a container or sandbox belongs to. */
  ownerOf(id: string): PodAgent | undefined
}

export async function followRuntime(node: FollowedNode, signal: AbortSignal): Promise<void> {
  let hasEvents = false
  const follow = async () => {
    while (!signal.aborted) {
      try {
        const events = node.runtime.events(signal)
        hasEvents = true
        for await (const event of events) {
          if (event.type === 'lost') await relist(node)
          else if (event.type === 'stopped' || event.type === 'started') {
            void node.ownerOf(event.id)?.runtimeChanged(event.id)
          }
        }
      } catch (error) {
        hasEvents = false
        if (error instanceof RuntimeError && error.code === 'unimplemented') return
        if (!signal.aborted) {
          node.env.log.debug("The runtime's events are lost", { error: error as Error })
        }
      }
      if (signal.aborted) return
      await node.env.clock.sleep(RECONNECT_MS, signal).catch(() => {})
      // Between two connections nothing was heard.
      await relist(node).catch(() => {})
    }
  }
  const look = async () => {
    while (!signal.aborted) {
      await node.env.clock
        .sleep(hasEvents ? RELIST_MS : RELIST_WITHOUT_EVENTS_MS, signal)
        .catch(() => {})
      if (signal.aborted || node.agents.size === 0) continue
      try {
        await relist(node)
        await rotateLogs(node)
      } catch (error) {
        node.env.log.debug('Cannot list the containers', { error: error as Error })
      }
    }
  }
  await Promise.all([follow(), look()])
}

/** Compares what the runtime lists with what the agents believe. */
async function relist({ runtime, agents }: FollowedNode): Promise<void> {
  // What is made while the runtime lists need not be in its list.
  const known = [...agents.values()].flatMap((agent) =>
    [...agent.runtime.sandboxes, ...agent.runtime.containers].map(({ id, state }) => ({
      agent,
      id,
      state,
    })),
  )
  const [sandboxes, containers] = await Promise.all([
    runtime.listPodSandboxes(),
    runtime.listContainers(),
  ])
  const states = new Map<string, string>()
  for (const { id, state } of sandboxes) states.set(id, state)
  for (const { id, state } of containers) states.set(id, state)
  for (const { agent, id, state } of known) {
    const now = states.get(id)
    if (now === undefined && state !== 'notReady' && state !== 'exited') agent.vanished(id)
    else if (now !== undefined && now !== state) await agent.runtimeChanged(id)
  }
}

async function rotateLogs({ runtime, agents, env }: FollowedNode): Promise<void> {
  for (const agent of agents.values()) {
    for (const { id, state, logPath } of agent.runtime.containers) {
      if (state !== 'running' || logPath === '') continue
      try {
        await rotateLog(runtime, id, logPath, env)
      } catch (error) {
        env.log.warn('Cannot rotate a log', {
          path: logPath,
          limit: MAX_LOG_BYTES,
          error: error as Error,
        })
      }
    }
  }
}
