/** Starts one container: image, environment, mounts, create, start, and the hook after it. */
import { dirname, join } from 'node:path'
import { CRASH_BACKOFF } from '../backoff.ts'
import type { ReadyImage } from '../images.ts'
import type { Start } from '../pod/actions.ts'
import { containerConfig, logFolderOf } from '../pod/configs.ts'
import { type AnyContainer, podLabel, specGraceOf, uidOf } from '../pod/containers.ts'
import { crashKey, crashMessage, crashWaitMs } from '../pod/crash.ts'
import { ConfigError, environmentOf, environmentSources } from '../pod/environment.ts'
import { hostnameOf, hostsFile } from '../pod/network-files.ts'
import { type PodContainer, newestContainer } from '../pod/pod-runtime.ts'
import { linuxResources } from '../pod/resources.ts'
import { nonRootProblem } from '../pod/security.ts'
import type { Mount } from '../runtime.ts'
import { volumeMounts } from '../volumes/mounts.ts'
import { VolumeError } from '../volumes/payload.ts'
import { podFolder } from '../volumes/pod-volumes.ts'
import { runHook } from './hooks.ts'
import type { StartedPod } from './started-pod.ts'
import { terminationLogPath } from './termination-message.ts'
import { stopOne } from './termination.ts'

/** A refused configuration is looked at again after this, if nothing else happens. */
const CONFIG_RETRY_MS = 10_000

/** As upstream counts them. */
const KINDS = {
  init: 'init_container',
  regular: 'container',
  ephemeral: 'ephemeral_container',
} as const

/** How long the failure of a hook can be read in the status before the container is tried again. */
const SHOW_HOOK_ERROR_MS = 1_000

/** `wait`: those after it wait too. */
export async function startContainer(agent: StartedPod, start: Start): Promise<'next' | 'wait'> {
  const { container } = start
  if (agent.isHeld(container.name)) return 'next'
  const last = newestContainer(agent.view.runtime, container.name)
  if (last?.state === 'exited' && isBackingOff(agent, container, last)) return 'next'

  const state = await agent.context.images.ensure(agent.imageRequest(container, start.attempt))
  agent.signal.throwIfAborted()
  if (state.type === 'pulling') {
    const failure = agent.context.images.failure(agent.pod, container.image ?? '')
    if (failure === undefined) agent.waiting.delete(container.name)
    return failure === undefined ? 'wait' : 'next'
  }
  if (state.type === 'failed') {
    agent.waiting.set(container.name, state.waiting)
    agent.wakeIn(state.retryMs)
    return 'next'
  }
  const id = await create(agent, start, state.image)
  if (id === undefined) return 'next'
  agent.context.images.used(agent.pod, container, start.attempt)
  if (last?.state === 'exited') {
    agent.restarted(container, (last.finishedAt ?? last.createdAt).getTime())
  }
  // It runs for others when its hook has ended.
  const show = container.lifecycle?.postStart === undefined ? undefined : agent.view.holdBack(id)
  try {
    if (!(await run(agent, start, id))) return 'next'
    agent.context.metrics.containerStarted(KINDS[start.kind])
    await afterStart(agent, container, id)
  } finally {
    show?.()
  }
  return 'next'
}

function isBackingOff(agent: StartedPod, container: AnyContainer, last: PodContainer): boolean {
  const { clock } = agent.context.env
  const state = agent.crashes.get(crashKey(container))
  const endedMs = (last.finishedAt ?? last.createdAt).getTime()
  const waitMs = crashWaitMs(state, endedMs, clock.now().getTime(), CRASH_BACKOFF)
  if (waitMs === 0 || state === undefined) return false
  const waiting = crashMessage(agent.pod, container, state.delayMs)
  if (agent.waiting.get(container.name)?.message !== waiting.message) {
    agent.waiting.set(container.name, waiting)
    agent.event(
      'Warning',
      'BackOff',
      `Back-off restarting failed container ${container.name} in pod ${podLabel(agent.pod)}`,
      container.name,
    )
  }
  agent.wakeIn(waitMs)
  return true
}

/** The new container's id; undefined when it could not be made, and the reason is where it is shown. */
async function create(
  agent: StartedPod,
  start: Start,
  image: ReadyImage,
): Promise<string | undefined> {
  const { container } = start
  const refuse = (reason: string, error: unknown): undefined => {
    const message = error instanceof Error ? error.message : String(error)
    const before = agent.waiting.get(container.name)
    agent.waiting.set(container.name, { reason, message })
    if (before?.reason !== reason || before.message !== message) {
      agent.event('Warning', 'Failed', `Error: ${message}`, container.name)
    }
    agent.hold(container.name, CONFIG_RETRY_MS)
    return undefined
  }
  const sandbox = agent.sandboxes.current()
  if (sandbox === undefined) return undefined
  let config: Awaited<ReturnType<typeof configure>>
  try {
    config = await configure(agent, start, image)
  } catch (error) {
    if (error instanceof ConfigError || error instanceof VolumeError || isPlain(error)) {
      return refuse('CreateContainerConfigError', error)
    }
    throw error
  }
  const { runtime } = agent.context
  let id: string
  try {
    // An earlier kubelet may have begun the pod with its logs elsewhere.
    await agent.context.podLogs.begin(logFolderOf(agent.pod))
    id = await runtime.createContainer(sandbox.id, config, sandbox.config)
  } catch (error) {
    return refuse('CreateContainerError', error)
  }
  agent.made(id, container)
  agent.event('Normal', 'Created', 'Container created', container.name)
  const status = await runtime.containerStatus(id)
  if (status === undefined) return refuse('CreateContainerError', `container ${id} is gone`)
  agent.view.setContainer({ ...status, sandboxId: sandbox.id })
  agent.waiting.delete(container.name)
  return id
}

const isPlain = (error: unknown): boolean => error instanceof Error && error.name === 'Error'

async function configure(agent: StartedPod, start: Start, image: ReadyImage) {
  const { container, kind, attempt } = start
  const { context, pod } = agent
  const problem = nonRootProblem(pod, container, image, podLabel(pod))
  if (problem !== undefined) throw new ConfigError(problem)
  const [services, found] = await Promise.all([context.services(), findSources(agent)])
  const { variables, skipped } = environmentOf({
    pod,
    container,
    sources: found,
    downward: { ...context.downward(pod), podIps: agent.podIps },
    services,
  })
  for (const { source, keys } of skipped) {
    agent.event(
      'Warning',
      'InvalidEnvironmentVariableNames',
      `Keys [${keys.join(', ')}] from the EnvFrom ${source} were skipped since they are considered invalid environment variable names.`,
    )
  }
  const { env, machine, runtime } = context
  const mounts = await volumeMounts(
    container,
    agent.files.mounted ?? new Map(),
    variables,
    runtime.simulated ? undefined : env.fs,
  )
  const own = runtime.simulated ? [] : await fileMounts(agent, container, attempt, mounts)
  const target =
    'targetContainerName' in container && container.targetContainerName
      ? newestContainer(agent.view.runtime, container.targetContainerName)
      : undefined
  return containerConfig({
    pod,
    container,
    kind,
    attempt,
    imageRef: image.ref,
    imageUser: image,
    environment: variables,
    mounts: [...mounts, ...own],
    devices: [],
    resources: linuxResources(pod, container, {
      memoryBytes: machine.memoryBytes,
      minOomScoreAdj: machine.minOomScoreAdj,
    }),
    security: context.security,
    targetId: target?.state === 'running' ? target.id : undefined,
  })
}

async function findSources({ context, pod }: StartedPod) {
  const names = environmentSources(pod)
  const namespace = pod.metadata.namespace ?? ''
  const [configMaps, secrets] = await Promise.all([
    Promise.all(
      names.configMaps.map(
        async (name) => [name, await context.sources.configMap(namespace, name)] as const,
      ),
    ),
    Promise.all(
      names.secrets.map(
        async (name) => [name, await context.sources.secret(namespace, name)] as const,
      ),
    ),
  ])
  return { configMaps: new Map(configMaps), secrets: new Map(secrets) }
}

/** /etc/hosts and the file for the last words, unless the container mounts its own there. */
async function fileMounts(
  agent: StartedPod,
  container: AnyContainer,
  attempt: number,
  others: readonly Mount[],
): Promise<readonly Mount[]> {
  const { context, pod } = agent
  const { fs } = context.env
  const taken = new Set(others.map(({ containerPath }) => containerPath))
  const folder = podFolder(context.volumeOptions.podsFolder, uidOf(pod))
  const mounts: Mount[] = []
  const add = (containerPath: string, hostPath: string) =>
    mounts.push({
      containerPath,
      hostPath,
      readonly: false,
      selinuxRelabel: false,
      propagation: 'PROPAGATION_PRIVATE',
    })
  if (!taken.has('/etc/hosts')) {
    const path = join(folder, 'etc-hosts')
    const { hostname, domain } = hostnameOf(pod, context.config.clusterDomain)
    const text = hostsFile(pod, {
      podIps: agent.podIps,
      hostname,
      domain,
      ...(pod.spec.hostNetwork === true ? { hostFile: context.machine.hostsFile } : {}),
    })
    const old = await fs.readText(path).catch(() => undefined)
    if (old !== text) {
      await fs.makeFolder(folder, { mode: 0o750 })
      await fs.write(path, text, { mode: 0o644 })
      await fs.chmod(path, 0o644)
    }
    add('/etc/hosts', path)
  }
  const messagePath = container.terminationMessagePath ?? '/dev/termination-log'
  if (messagePath !== '' && !taken.has(messagePath)) {
    const path = terminationLogPath(folder, container.name, attempt)
    await fs.makeFolder(dirname(path), { mode: 0o750 })
    await fs.write(path, '', { mode: 0o666 })
    // Whoever the container runs as may write there.
    await fs.chmod(path, 0o666)
    add(messagePath, path)
  }
  return mounts
}

async function run(agent: StartedPod, { container }: Start, id: string): Promise<boolean> {
  const { runtime } = agent.context
  try {
    await runtime.startContainer(id)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    agent.waiting.set(container.name, { reason: 'RunContainerError', message })
    agent.event('Warning', 'Failed', `Error: ${message}`, container.name)
    await agent.view.refresh(id)
    const status = agent.view.runtime.containers.find((found) => found.id === id)
    if (status?.state === 'created') {
      // It never ran: nothing of it is worth keeping.
      await runtime.removeContainer(id)
      await agent.context.podLogs.drop(logFolderOf(agent.pod), status)
      agent.view.dropContainer(id)
    }
    agent.hold(container.name, CONFIG_RETRY_MS)
    return false
  }
  agent.event('Normal', 'Started', 'Container started', container.name)
  await agent.view.refresh(id)
  const started = agent.view.runtime.containers.find((found) => found.id === id)
  if (started !== undefined) await agent.context.podLogs.link(logFolderOf(agent.pod), started)
  await removeOlder(agent, container.name)
  return true
}

/** Of each container the last ended attempt stays, for its log. */
async function removeOlder(agent: StartedPod, name: string): Promise<void> {
  const attempts = agent.view.runtime.containers.filter((container) => container.name === name)
  for (const container of attempts.slice(2)) {
    if (container.state === 'running') continue
    await agent.context.runtime.removeContainer(container.id).catch(() => {})
    await agent.context.podLogs.drop(logFolderOf(agent.pod), container)
    agent.view.dropContainer(container.id)
  }
}

async function afterStart(agent: StartedPod, container: AnyContainer, id: string): Promise<void> {
  const hook = container.lifecycle?.postStart
  if (hook === undefined) return
  const { runtime, env } = agent.context
  const target = { pod: agent.pod, container, containerId: id, podIp: agent.podIps[0] ?? '' }
  try {
    await runHook(hook, target, runtime, env, agent.signal)
  } catch (error) {
    if (agent.signal.aborted) return
    const message = error instanceof Error ? error.message : String(error)
    // What the hook said stays out of the event: it may hold secrets.
    agent.event('Warning', 'FailedPostStartHook', 'PostStartHook failed', container.name)
    const status = agent.view.runtime.containers.find((found) => found.id === id)
    if (status === undefined) return
    agent.event('Normal', 'Killing', 'FailedPostStartHook', container.name)
    await stopOne(agent, status, {
      graceSeconds: specGraceOf(agent.pod),
      announce: false,
      signal: agent.signal,
    })
    agent.waiting.set(container.name, { reason: 'PostStartHookError', message })
    agent.hold(container.name, SHOW_HOOK_ERROR_MS)
  }
}
