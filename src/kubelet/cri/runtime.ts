/** A container runtime behind a unix socket: containerd or CRI-O, by the Container Runtime Interface v1. */
import { Writable } from 'node:stream'
import type { Env } from '#base'
import {
  type LogFiles,
  type PodFilter,
  type Runtime,
  RuntimeError,
  type RuntimeStatus,
} from '../runtime.ts'
import { LABEL } from '../runtime.ts'
import { type Connection, type Message, connect } from './connection.ts'
import { containerdEvents } from './events.ts'
import { diskLogFiles } from './log-files.ts'
import { forwardPort, runSession } from './conversations.ts'
import {
  type ContainerMessage,
  type ContainerStatusMessage,
  type ImageMessage,
  type SandboxMessage,
  type SandboxStatusMessage,
  type StatsMessage,
  containerConfigMessage,
  containerOf,
  containerStatusOf,
  imageOf,
  resourcesMessage,
  sandboxConfigMessage,
  sandboxOf,
  sandboxStatusOf,
  statsOf,
} from './wire.ts'

const RUNTIME = 'runtime.v1.RuntimeService'
const IMAGES = 'runtime.v1.ImageService'
/** As upstream's runtime request timeout. */
const REQUEST_MS = 120_000
/** A sandbox waits for its network plugins; a stop for the container's grace besides. */
const SLOW_MS = 240_000

/** A runtime behind a socket, whose connection can be closed. */
export interface CriRuntime extends Runtime {
  close(): void
}

/** Connects to the socket; calls fail with `unavailable` until something listens there. */
export function criRuntime(
  {
    socketPath,
    logFiles = diskLogFiles,
  }: { readonly socketPath: string; readonly logFiles?: LogFiles },
  env: Pick<Env, 'net' | 'clock'>,
): CriRuntime {
  const connection = connect(socketPath)
  const runtime = <Result = unknown>(method: string, request: Message, deadlineMs = REQUEST_MS) =>
    connection.call<Result>(RUNTIME, method, request, { deadlineMs })
  const images = <Result = unknown>(method: string, request: Message, deadlineMs = REQUEST_MS) =>
    connection.call<Result>(IMAGES, method, request, { deadlineMs })

  const containerStatus: Runtime['containerStatus'] = async (containerId) => {
    const answer = await orAbsent(
      runtime<{ readonly status: ContainerStatusMessage | null }>('ContainerStatus', {
        containerId,
      }),
    )
    return answer?.status ? containerStatusOf(answer.status) : undefined
  }
  const podSandboxStatus: Runtime['podSandboxStatus'] = async (podSandboxId) => {
    const answer = await orAbsent(
      runtime<{ readonly status: SandboxStatusMessage | null }>('PodSandboxStatus', {
        podSandboxId,
      }),
    )
    return answer?.status ? sandboxStatusOf(answer.status) : undefined
  }
  const isStopped = async (id: string): Promise<boolean> => {
    const container = await containerStatus(id)
    if (container !== undefined) return container.state !== 'running'
    return (await podSandboxStatus(id))?.state !== 'ready'
  }

  return {
    simulated: false,
    logFiles,
    close: () => connection.close(),
    async version() {
      const answer = await runtime<{ runtimeName: string; runtimeVersion: string }>('Version', {})
      return { name: answer.runtimeName, version: answer.runtimeVersion }
    },
    async status() {
      return runtimeStatusOf(await runtime<StatusMessage>('Status', { verbose: false }))
    },
    async runPodSandbox(config, runtimeHandler) {
      const request = { config: sandboxConfigMessage(config), runtimeHandler }
      const answer = await runtime<{ podSandboxId: string }>('RunPodSandbox', request, SLOW_MS)
      return answer.podSandboxId
    },
    async stopPodSandbox(podSandboxId) {
      await orAbsent(runtime('StopPodSandbox', { podSandboxId }, SLOW_MS))
    },
    async removePodSandbox(podSandboxId) {
      await orAbsent(runtime('RemovePodSandbox', { podSandboxId }, SLOW_MS))
    },
    podSandboxStatus,
    async listPodSandboxes(filter) {
      const { items } = await runtime<{ items: readonly SandboxMessage[] }>(
        'ListPodSandbox',
        filterMessage(filter, 'id'),
      )
      return items.map(sandboxOf)
    },
    async createContainer(podSandboxId, config, sandboxConfig) {
      const { containerId } = await runtime<{ containerId: string }>(
        'CreateContainer',
        {
          podSandboxId,
          config: containerConfigMessage(config),
          sandboxConfig: sandboxConfigMessage(sandboxConfig),
        },
        SLOW_MS,
      )
      return containerId
    },
    async startContainer(containerId) {
      await runtime('StartContainer', { containerId }, SLOW_MS)
    },
    async stopContainer(containerId, timeoutSeconds) {
      const timeout = Math.max(0, Math.ceil(timeoutSeconds))
      await orAbsent(
        runtime('StopContainer', { containerId, timeout }, timeout * 1000 + REQUEST_MS),
      )
    },
    async removeContainer(containerId) {
      await orAbsent(runtime('RemoveContainer', { containerId }, SLOW_MS))
    },
    async listContainers(filter) {
      const { containers } = await runtime<{ containers: readonly ContainerMessage[] }>(
        'ListContainers',
        filterMessage(filter, 'podSandboxId'),
      )
      return containers.map(containerOf)
    },
    containerStatus,
    async updateContainerResources(containerId, resources) {
      await runtime('UpdateContainerResources', {
        containerId,
        linux: resourcesMessage(resources),
      })
    },
    async reopenContainerLog(containerId) {
      await runtime('ReopenContainerLog', { containerId })
    },
    async listContainerStats(filter) {
      const { stats } = await runtime<{ stats: readonly StatsMessage[] }>(
        'ListContainerStats',
        filterMessage(filter, 'podSandboxId'),
      )
      return stats.map(statsOf)
    },
    async execSync(containerId, command, timeoutSeconds) {
      const timeout = Math.max(0, Math.ceil(timeoutSeconds))
      const deadlineMs = timeout === 0 ? SLOW_MS : timeout * 1000 + REQUEST_MS
      try {
        const answer = await runtime<{ stdout: Uint8Array; stderr: Uint8Array; exitCode: number }>(
          'ExecSync',
          { containerId, cmd: command, timeout },
          deadlineMs,
        )
        return { stdout: answer.stdout, stderr: answer.stderr, exitCode: answer.exitCode }
      } catch (error) {
        // containerd says Unknown and "timeout 1s exceeded: context deadline exceeded".
        if (error instanceof RuntimeError && /timeout .*exceeded/.test(error.message)) {
          throw new RuntimeError('deadline', error.message)
        }
        throw error
      }
    },
    async exec(containerId, { command, tty }, asked, signal) {
      // A session has at least one stream: who wants none gets one that nobody reads.
      const { stdin, stdout, stderr } = asked
      const streams =
        (stdin ?? stdout ?? stderr) === undefined ? { ...asked, stdout: sink() } : asked
      const { url } = await runtime<{ url: string }>('Exec', {
        containerId,
        cmd: command,
        tty,
        stdin: streams.stdin !== undefined,
        stdout: streams.stdout !== undefined,
        stderr: streams.stderr !== undefined && !tty,
      })
      return runSession(url, { tty }, streams, env, signal)
    },
    async attach(containerId, { tty }, streams, signal) {
      const { url } = await runtime<{ url: string }>('Attach', {
        containerId,
        tty,
        stdin: streams.stdin !== undefined,
        stdout: streams.stdout !== undefined,
        stderr: streams.stderr !== undefined && !tty,
      })
      await runSession(url, { tty }, streams, env, signal)
    },
    async portForward(podSandboxId, port, signal) {
      const { url } = await runtime<{ url: string }>('PortForward', {
        podSandboxId,
        port: [port],
      })
      return forwardPort(url, port, env, signal)
    },
    events: (signal) => containerdEvents(connection, isStopped, env, signal),
    async listImages() {
      const answer = await images<{ images: readonly ImageMessage[] }>('ListImages', {})
      return answer.images.map(imageOf)
    },
    async imageStatus(image) {
      const answer = await images<{ image: ImageMessage | null }>('ImageStatus', {
        image: { image },
      })
      return answer.image === null ? undefined : imageOf(answer.image)
    },
    pullImage: (image, auth, sandbox, signal) => pull(connection, image, auth, sandbox, signal),
    async removeImage(image) {
      await orAbsent(images('RemoveImage', { image: { image } }))
    },
    async imageFileSystem() {
      const { imageFilesystems } = await images<{
        imageFilesystems: readonly {
          fsId: { mountpoint: string } | null
          usedBytes: { value: string } | null
        }[]
      }>('ImageFsInfo', {})
      const [first] = imageFilesystems
      return first === undefined
        ? undefined
        : {
            usedBytes: Number(first.usedBytes?.value ?? 0),
            mountpoint: first.fsId?.mountpoint ?? '',
          }
    },
  }
}

const sink = (): Writable => new Writable({ write: (_chunk, _encoding, done) => done() })

async function pull(
  connection: Connection,
  image: string,
  auth: Parameters<Runtime['pullImage']>[1],
  sandbox: Parameters<Runtime['pullImage']>[2],
  signal: AbortSignal,
): Promise<string> {
  const { imageRef } = await connection.call<{ imageRef: string }>(
    IMAGES,
    'PullImage',
    {
      image: { image },
      ...(auth === undefined ? {} : { auth }),
      ...(sandbox === undefined ? {} : { sandboxConfig: sandboxConfigMessage(sandbox) }),
    },
    { signal },
  )
  return imageRef
}

/** What is gone already need not be stopped or removed. */
async function orAbsent<Result>(call: Promise<Result>): Promise<Result | undefined> {
  try {
    return await call
  } catch (error) {
    if (error instanceof RuntimeError && error.code === 'notFound') return undefined
    throw error
  }
}

function filterMessage(filter: PodFilter | undefined, sandboxField: string): Message {
  if (filter === undefined) return {}
  const { podUid, sandboxId } = filter
  return {
    filter: {
      ...(podUid === undefined ? {} : { labelSelector: { [LABEL.podUid]: podUid } }),
      ...(sandboxId === undefined ? {} : { [sandboxField]: sandboxId }),
    },
  }
}

interface StatusMessage {
  readonly status: { readonly conditions: RuntimeStatus['conditions'] } | null
  readonly runtimeHandlers: readonly {
    readonly name: string
    readonly features: {
      readonly recursiveReadOnlyMounts: boolean
      readonly userNamespaces: boolean
    } | null
  }[]
  readonly features: { readonly supplementalGroupsPolicy: boolean } | null
}

const runtimeStatusOf = ({ status, runtimeHandlers, features }: StatusMessage): RuntimeStatus => ({
  conditions: status?.conditions ?? [],
  handlers: runtimeHandlers.map(({ name, features: has }) => ({
    name,
    recursiveReadOnlyMounts: has?.recursiveReadOnlyMounts ?? false,
    userNamespaces: has?.userNamespaces ?? false,
  })),
  supplementalGroupsPolicy: features?.supplementalGroupsPolicy ?? false,
})
