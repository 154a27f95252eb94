/** What is left on the node of pods that are gone from the API. */
import { join } from 'node:path'
import type { Env } from '#base'
import { removeCgroup } from './host.ts'
import type { KubeletContext } from './context.ts'
import type { KubeletConfig } from './kubelet-config.ts'
import type { Machine } from './node/machine.ts'
import type { PodRuntime } from './pod/pod-runtime.ts'
import type { Runtime } from './runtime.ts'

/** As upstream: the API has forgotten them, so nobody waits for how they end. */
const GRACE_SECONDS = 1

/** What is left is looked for on this node. */
export interface SweptNode {
  /** Of pods that the API has, by uid. */
  readonly agents: { has(uid: string): boolean }
  readonly env: Env
  readonly runtime: Runtime
  readonly machine: Machine
  readonly config: KubeletConfig
  readonly context: Pick<KubeletContext, 'volumeOptions' | 'podLogs'>
}

export class OrphanCollector {
  readonly #node: SweptNode

  constructor(node: SweptNode) {
    this.#node = node
  }

  /** Once, at the start: later every pod has an agent that cleans up after it. */
  async collect(runtimes: ReadonlyMap<string, PodRuntime>): Promise<void> {
    const { agents, env } = this.#node
    for (const [uid, runtime] of runtimes) {
      if (agents.has(uid)) continue
      try {
        await this.#endPod(runtime)
      } catch (error) {
        env.log.warn('Cannot remove a pod that is gone from the API', {
          uid,
          error: error as Error,
        })
      }
    }
    await this.#collectFolders()
    const { agents: known, context } = this.#node
    await context.podLogs
      .sweep((uid) => known.has(uid))
      .catch((error: unknown) =>
        env.log.warn('Cannot remove logs of pods that are gone', { error }),
      )
  }

  async #endPod({ containers, sandboxes }: PodRuntime): Promise<void> {
    const { runtime, env, context } = this.#node
    const metadata = sandboxes[0]?.metadata
    env.log.info('Ending a pod that is gone from the API', {
      pod: metadata === undefined ? '' : `${metadata.namespace}/${metadata.name}`,
    })
    await Promise.all(
      containers
        .filter(({ state }) => state === 'running')
        .map(({ id }) => runtime.stopContainer(id, GRACE_SECONDS)),
    )
    for (const { id } of containers) await runtime.removeContainer(id)
    for (const { id } of sandboxes) {
      await runtime.stopPodSandbox(id)
      await runtime.removePodSandbox(id)
    }
    if (metadata !== undefined) {
      const { namespace, name, uid } = metadata
      await context.podLogs.end(`${namespace}_${name}_${uid}`)
    }
  }

  /** Volumes whose pods are gone; mounts first, so that nothing else is removed with them. */
  async #collectFolders(): Promise<void> {
    const { agents, env, context, runtime, machine, config } = this.#node
    if (runtime.simulated) return
    const { podsFolder, host } = context.volumeOptions
    for (const uid of await env.fs.list(podsFolder).catch(() => [])) {
      if (agents.has(uid)) continue
      try {
        const folder = join(podsFolder, uid)
        await host.unmountBelow(folder)
        await env.fs.remove(folder)
        for (const parent of ['', '/burstable', '/besteffort']) {
          await removeCgroup(`${config.cgroupRoot}${parent}/pod${uid}`, machine, env)
        }
      } catch (error) {
        env.log.warn('Cannot remove the folder of a pod that is gone', {
          uid,
          error: error as Error,
        })
      }
    }
  }
}
