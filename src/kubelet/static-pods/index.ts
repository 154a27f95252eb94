/** Follows a folder of manifests: runs the pods in it, and keeps an image of each in the API. */
import { join } from 'node:path'
import type { Env } from '#base'
import { type Node, type Pod, pods } from '#api'
import type { Client, Informer } from '#client'
import { isStatus, keyOf } from '#machinery'
import { uidOf } from '../pod/containers.ts'
import { isMirror, mirrorOf, mirrors, staticPodOf } from './manifest.ts'

export interface StaticPodsOptions {
  /** Without one it only takes the images of earlier pods out of the API. */
  readonly folder: string | undefined
  readonly nodeName: string
  readonly client: Client
  readonly env: Pick<Env, 'clock' | 'fs' | 'log'>
  /** Of this node's pods as the API has them. */
  readonly informer: Informer<Pod>
  readonly node: () => Node | undefined
  /** One is to run from now on, or no more. */
  readonly onChange: (current: Pod | undefined, old: Pod | undefined) => void
  /** Resolves when nothing of the pod runs any more. */
  readonly ended: (uid: string) => Promise<void>
  /** The API has an image of the pod. */
  readonly onMirror: (uid: string, mirror: Pod) => void
}

/** As upstream looks by default; changes of the folder are seen at once besides. */
const LOOK_MS = 20_000
const RETRY_MS = 5000

export class StaticPods {
  readonly #options: StaticPodsOptions
  /** By file. */
  readonly #files = new Map<string, { readonly text: string; readonly pod: Pod | undefined }>()
  /** Those that run, by namespace and name. */
  readonly #running = new Map<string, Pod>()
  readonly #ending = new Set<string>()
  readonly #turns = new Map<string, Promise<void>>()
  #signal = new AbortController().signal

  constructor(options: StaticPodsOptions) {
    this.#options = options
  }

  /** Finds what is there now, before anybody takes its containers for those of nobody. */
  async begin(signal: AbortSignal): Promise<void> {
    this.#signal = signal
    await this.#look()
    // Images of pods that are no more go.
    this.#options.informer.onChange((current, old) => {
      const pod = current ?? old
      if (pod !== undefined && (isMirror(pod) || this.#running.has(keyOf(pod))))
        this.#reflect(keyOf(pod))
    })
  }

  /** Follows the folder until the signal of the beginning aborts. */
  async run(): Promise<void> {
    const { env, folder } = this.#options
    const signal = this.#signal
    if (folder === undefined) return
    let pause = new AbortController()
    env.fs.watch(folder, () => pause.abort(), signal)
    while (!signal.aborted) {
      await env.clock.sleep(LOOK_MS, AbortSignal.any([signal, pause.signal])).catch(() => undefined)
      pause = new AbortController()
      if (!signal.aborted) await this.#look()
    }
  }

  async #look(): Promise<void> {
    const { env, folder, nodeName } = this.#options
    if (folder === undefined) return
    const names = await env.fs.list(folder).catch(() => [])
    const found = new Map<string, string>()
    for (const name of names) {
      if (name.startsWith('.')) continue
      const text = await env.fs.readText(join(folder, name)).catch(() => undefined)
      if (text !== undefined) found.set(name, text)
    }
    for (const name of this.#files.keys()) if (!found.has(name)) this.#files.delete(name)
    for (const [name, text] of found) {
      if (this.#files.get(name)?.text === text) continue
      const file = join(folder, name)
      try {
        const pod = staticPodOf(text, { file, nodeName, seen: env.clock.now() })
        this.#files.set(name, { text, pod })
      } catch (error) {
        env.log.error('A manifest is no pod that can run', { file, error })
        // What ran before goes on: the file may be half written.
        this.#files.set(name, { text, pod: this.#files.get(name)?.pod })
      }
    }
    this.#apply()
  }

  #apply(): void {
    const wanted = new Map<string, Pod>()
    for (const { pod } of this.#files.values()) if (pod !== undefined) wanted.set(keyOf(pod), pod)
    for (const [key, pod] of this.#running) {
      const next = wanted.get(key)
      if (next !== undefined && uidOf(next) === uidOf(pod)) continue
      this.#running.delete(key)
      this.#end(key, pod)
    }
    for (const [key, pod] of wanted) {
      // The one before it has its name, its ports and its folders until it has ended.
      if (this.#running.has(key) || this.#ending.has(key)) continue
      this.#running.set(key, pod)
      this.#options.onChange(pod, undefined)
      this.#reflect(key)
    }
  }

  #end(key: string, pod: Pod): void {
    const { onChange, ended } = this.#options
    this.#ending.add(key)
    onChange(undefined, pod)
    void ended(uidOf(pod)).then(() => {
      this.#ending.delete(key)
      if (this.#signal.aborted) return
      this.#reflect(key)
      this.#apply()
    })
  }

  /** Makes the API show the pod of this name as it is; one after the other. */
  #reflect(key: string): void {
    const before = this.#turns.get(key) ?? Promise.resolve()
    const mine = before
      .then(() => this.#reflectNow(key))
      .catch((error: unknown) => {
        const { env } = this.#options
        if (this.#signal.aborted) return
        env.log.warn('Cannot show a static pod in the API; trying again', { pod: key, error })
        env.clock.schedule(RETRY_MS, () => this.#signal.aborted || this.#reflect(key))
      })
    this.#turns.set(key, mine)
    void mine.then(() => {
      if (this.#turns.get(key) === mine) this.#turns.delete(key)
    })
  }

  async #reflectNow(key: string): Promise<void> {
    const { client, informer, node, onMirror } = this.#options
    const pod = this.#running.get(key)
    const shown = informer.get(key)
    if (shown !== undefined && !isMirror(shown)) {
      if (pod !== undefined) throw new Error('another pod has its name')
      return
    }
    if (pod !== undefined && shown !== undefined && mirrors(shown, pod)) {
      onMirror(uidOf(pod), shown)
      return
    }
    if (shown !== undefined) {
      // Until it has ended it is looked at.
      if (pod === undefined && this.#ending.has(key)) return
      await remove(client, shown)
      return
    }
    if (pod === undefined) return
    // The informer will tell of it.
    await client.create(pods, mirrorOf(pod, node()) as Pod).catch((error: unknown) => {
      if (!isStatus(error, 'AlreadyExists')) throw error
    })
  }
}

async function remove(client: Client, { metadata }: Pod): Promise<void> {
  const { namespace = '', name, uid } = metadata
  try {
    await client.delete(
      pods,
      { namespace, name },
      { gracePeriodSeconds: 0, ...(uid === undefined ? {} : { preconditions: { uid } }) },
    )
  } catch (error) {
    if (!isStatus(error, 'NotFound') && !isStatus(error, 'Conflict')) throw error
  }
}
