/** The sandboxes of one pod: the one its containers are made in, and those whose place it has taken. */
import type { Pod } from '#api'
import { GrowingDelay } from '../backoff.ts'
import type { KubeletContext } from '../context.ts'
import { makePodCgroup } from '../host.ts'
import { podCgroup } from '../pod/cgroups.ts'
import { logFolderOf, sandboxConfig } from '../pod/configs.ts'
import { dnsConfigOf, hostnameOf } from '../pod/network-files.ts'
import { readySandbox } from '../pod/pod-runtime.ts'
import type { PodSandboxConfig } from '../runtime.ts'
import type { PodView } from './view.ts'

/** What sandboxes need of the pod's agent. */
export interface SandboxedPod {
  readonly context: KubeletContext
  readonly pod: Pod
  readonly view: PodView
  /** Stops when the pod is to stop. */
  readonly signal: AbortSignal
  /** Events of the sandbox are the pod's. */
  own(id: string): void
  disown(id: string): void
  event(type: 'Normal' | 'Warning', reason: string, message: string): void
  warn(message: string, error: unknown): void
  publish(): void
  wakeIn(ms: number): void
}

const RETRY_FIRST_MS = 500
const RETRY_LAST_MS = 30_000

export class Sandboxes {
  readonly #agent: SandboxedPod
  readonly #delay = new GrowingDelay({ firstMs: RETRY_FIRST_MS, lastMs: RETRY_LAST_MS })
  /** Of the present one. */
  #config: PodSandboxConfig | undefined
  /** Empty where containers need none; undefined while nobody has looked. */
  #cgroup: string | undefined

  constructor(agent: SandboxedPod) {
    this.#agent = agent
  }

  /** The one that containers are made in, and the configuration that they are made with. */
  current(): { readonly id: string; readonly config: PodSandboxConfig } | undefined {
    const sandbox = readySandbox(this.#agent.view.runtime)
    if (sandbox === undefined) return undefined
    this.#config ??= this.#configOf(this.#agent.pod, sandbox.metadata.attempt)
    return { id: sandbox.id, config: this.#config }
  }

  /** The configuration is to be written anew: the pod has containers that it had not. */
  reconfigure(): void {
    this.#config = undefined
  }

  async create(pod: Pod, attempt: number): Promise<void> {
    const agent = this.#agent
    const { config, runtime, env, machine } = agent.context
    const handler = await agent.context.runtimeHandler(pod)
    this.#cgroup ??= runtime.simulated
      ? ''
      : await makePodCgroup(
          pod,
          { machine, root: config.cgroupRoot, podPidsLimit: config.podPidsLimit },
          env,
        )
    await agent.context.podLogs.begin(logFolderOf(pod))
    this.#config = this.#configOf(pod, attempt)
    const id = await runtime.runPodSandbox(this.#config, handler)
    agent.own(id)
    const status = await runtime.podSandboxStatus(id)
    if (status === undefined) throw new Error(`sandbox ${id} is gone after it was made`)
    agent.view.setSandbox(status)
    this.#delay.reset()
    agent.publish()
    void this.#removeOld()
  }

  /** Making one has failed: it is told, and tried again after a while. */
  failed(error: unknown): void {
    const agent = this.#agent
    if (agent.signal.aborted) return
    const why = error instanceof Error ? error.message : String(error)
    agent.event('Warning', 'FailedCreatePodSandBox', `Failed to create pod sandbox: ${why}`)
    agent.publish()
    agent.wakeIn(this.#delay.next())
  }

  /** Stops one that is of no use any more. */
  async stop(id: string): Promise<void> {
    const agent = this.#agent
    const message = 'Pod sandbox changed, it will be killed and re-created.'
    agent.event('Normal', 'SandboxChanged', message)
    await agent.context.runtime.stopPodSandbox(id)
    await agent.view.refresh(id)
  }

  /** Of a pod that an earlier kubelet began: containers that are added belong where the others are. */
  async findCgroup(pod: Pod): Promise<void> {
    const { machine, config, runtime, env } = this.#agent.context
    if (this.#cgroup !== undefined || runtime.simulated) return
    const path = podCgroup(pod, config.cgroupRoot)
    const base = Object.values(machine.cgroupRoots)[0]
    const made = base === undefined ? undefined : await env.fs.stat(`${base}${path}`)
    this.#cgroup = made === undefined ? '' : path
  }

  #configOf(pod: Pod, attempt: number): PodSandboxConfig {
    const { config, dns, security } = this.#agent.context
    return sandboxConfig({
      pod,
      attempt,
      hostname: hostnameOf(pod, config.clusterDomain).hostname,
      dns: dnsConfigOf(pod, dns),
      logRoot: config.logRoot,
      cgroupParent: this.#cgroup ?? '',
      security,
    })
  }

  async #removeOld(): Promise<void> {
    const { context, view } = this.#agent
    const current = readySandbox(view.runtime)
    const used = new Set(view.runtime.containers.map(({ sandboxId }) => sandboxId))
    for (const { id, state } of view.runtime.sandboxes) {
      if (id === current?.id || state === 'ready' || used.has(id)) continue
      try {
        await context.runtime.removePodSandbox(id)
        this.#agent.disown(id)
        view.dropSandbox(id)
      } catch (error) {
        this.#agent.warn('Cannot remove an old sandbox', error)
      }
    }
  }
}
