/** What the API server asks of this node: logs, exec, attach, port-forward, and the kubelet's own pages. */
import type { Duplex } from 'node:stream'
import type { LogOptions, NodeApi, PodTarget } from '#client'
import { StatusError, badRequest, internalError, notFound } from '#machinery'
import type { KubeletCore } from './core.ts'
import { containerLogs } from './logs.ts'
import { page } from './pages/index.ts'
import type { PodAgent } from './agent/pod-agent.ts'
import { findContainer } from './pod/containers.ts'
import { type PodContainer, readySandbox } from './pod/pod-runtime.ts'
import { RuntimeError } from './runtime.ts'

const PODS = { group: '', resource: 'pods' }

export function nodeApi(core: KubeletCore): NodeApi {
  return {
    logs: async (target, options, signal) => {
      const agent = agentOf(core, target)
      const container = containerForLogs(agent, options)
      return containerLogs(
        core.runtime.logFiles,
        container.logPath,
        options,
        {
          isRunning: () => stateOf(agent, container.id) === 'running',
          ended: (stop) => whenEnded(agent, container.id, stop),
        },
        core.env,
        signal,
      )
    },
    exec: async (target, { container, command, tty }, streams, signal) => {
      const { id } = runningContainer(agentOf(core, target), container)
      return core.runtime.exec(id, { command, tty }, streams, signal)
    },
    attach: async (target, { container, tty }, streams, signal) => {
      const { id } = runningContainer(agentOf(core, target), container)
      await core.runtime.attach(id, { tty }, streams, signal)
    },
    portForward: (target, port, signal) => forward(core, agentOf(core, target), port, signal),
    page: (path, query) => page(core, path, query),
    async find(target, container) {
      const agent = agentOf(core, target)
      if (container !== undefined) runningContainer(agent, container)
    },
  }
}

function agentOf(core: KubeletCore, { namespace, pod, uid }: PodTarget): PodAgent {
  const agent = core.findPod(namespace, pod, uid)
  if (agent === undefined) throw notFound(PODS, pod)
  return agent
}

const stateOf = (agent: PodAgent, id: string): string | undefined =>
  agent.runtime.containers.find((container) => container.id === id)?.state

/** Resolves with the agent's next view in which it does not run. */
function whenEnded(agent: PodAgent, id: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const stop = agent.onChange(() => check())
    const finish = () => {
      stop()
      resolve()
    }
    const check = () => {
      if (stateOf(agent, id) !== 'running') finish()
    }
    signal.addEventListener('abort', finish, { once: true })
    check()
  })
}

function attemptsOf(agent: PodAgent, name: string): readonly PodContainer[] {
  const { pod } = agent
  if (findContainer(pod, name) === undefined) {
    throw new StatusError(
      'NotFound',
      `container ${JSON.stringify(name)} not found in pod ${JSON.stringify(pod.metadata.name)}`,
    )
  }
  return agent.runtime.containers.filter((container) => container.name === name)
}

function containerForLogs(agent: PodAgent, { container, previous }: LogOptions): PodContainer {
  const { pod } = agent
  const attempts = attemptsOf(agent, container).filter(({ state }) => state !== 'created')
  const [current] = attempts
  if (previous === true) {
    // While it waits to run again, the last one that ran is the previous one.
    const waiting =
      current !== undefined && current.state !== 'running' && agent.waiting.has(container)
    // Between its end and its next start the older one may be gone already.
    const between =
      current !== undefined && current.state !== 'running' && current.attempt > 0
        ? current
        : undefined
    const found = waiting ? current : (attempts[1] ?? between)
    if (found !== undefined) return found
    throw badRequest(
      `previous terminated container "${container}" in pod "${pod.metadata.name}" not found`,
    )
  }
  if (current !== undefined) return current
  const initializing =
    (pod.spec.initContainers ?? []).length > 0 &&
    !(pod.spec.ephemeralContainers ?? []).some(({ name }) => name === container)
  const why =
    agent.waiting.get(container)?.reason ?? (initializing ? 'PodInitializing' : 'ContainerCreating')
  const words: Readonly<Record<string, string>> = {
    ErrImagePull: "image can't be pulled",
    ImagePullBackOff: 'trying and failing to pull image',
  }
  throw badRequest(
    `container "${container}" in pod "${pod.metadata.name}" is waiting to start: ${words[why] ?? why}`,
  )
}

function runningContainer(agent: PodAgent, name: string): PodContainer {
  const [current] = attemptsOf(agent, name)
  if (current?.state === 'running') return current
  throw internalError(`unable to upgrade connection: container not found (${JSON.stringify(name)})`)
}

/** Straight to the pod's address; what listens on its localhost only is reached through the runtime. */
async function forward(
  core: KubeletCore,
  agent: PodAgent,
  port: number,
  signal: AbortSignal,
): Promise<Duplex> {
  const sandbox = readySandbox(agent.runtime)
  if (sandbox === undefined) {
    throw new StatusError(
      'InternalError',
      `cannot forward to port ${port}: pod "${agent.pod.metadata.name}" does not run`,
    )
  }
  const { runtime, env } = core
  const host = agent.pod.spec.hostNetwork === true ? '127.0.0.1' : sandbox.ips[0]
  if (!runtime.simulated && host !== undefined) {
    try {
      return await env.net.connect({ host, port }, signal)
    } catch (error) {
      signal.throwIfAborted()
      env.log.debug('Nothing listens on the pod address; trying its localhost', {
        port,
        error: error as Error,
      })
    }
  }
  try {
    return await runtime.portForward(sandbox.id, port, signal)
  } catch (error) {
    if (error instanceof RuntimeError) {
      throw new StatusError('InternalError', `error forwarding port ${port}: ${error.message}`)
    }
    throw error
  }
}
