/** Definitions come and go while the server runs: their names are judged, their objects served, and removed with them. */
import type { Env } from '#base'
import { customResourceDefinitions, type CustomResourceDefinition } from '#api'
import type { Transport } from '#client'
import { isStatus, type ResourceDefinition } from '#machinery'
import { copyJson, sameJson } from '../json.ts'
import type { Reader } from '../inside.ts'
import type { OwnSchemas } from '../own-schemas.ts'
import type { Convert } from './convert.ts'
import { servedVersions, type ServedVersions } from './instance.ts'
import { decideNames, isTrue, withCondition, type Condition } from './names.ts'

/** Keeps a definition until its objects are gone. */
export const CLEANUP = 'customresourcecleanup.apiextensions.k8s.io'

export interface FollowOptions {
  readonly env: Pick<Env, 'clock' | 'log'>
  readonly read: Reader
  readonly transport: Transport
  readonly convert: Convert
  /** Resolves when its objects can be read. */
  readonly add: (definition: ResourceDefinition, schemas: OwnSchemas) => Promise<void>
  readonly remove: (definition: ResourceDefinition) => void
  /** Begins the end of every object of a resource; says how many are left. */
  readonly removeObjects: (definition: ResourceDefinition, signal: AbortSignal) => Promise<number>
  readonly signal: AbortSignal
}

interface Running {
  readonly spec: CustomResourceDefinition['spec']
  readonly status: CustomResourceDefinition['status']
  readonly isEnding: boolean
  readonly versions: ServedVersions
}

/** How often objects that others hold on to are looked for, while their definition waits for them. */
const LOOK_AGAIN_MS = 1000
const PATH = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'

/** Resolves when everything that was established before is served; goes on until the signal aborts. */
export async function followDefinitions(options: FollowOptions): Promise<void> {
  const follower = new Follower(options)
  await follower.start()
}

class Follower {
  readonly #options: FollowOptions
  readonly #running = new Map<string, Running>()
  readonly #ending = new Set<string>()
  readonly #waiting = new Set<string>()
  #busy = false

  constructor(options: FollowOptions) {
    this.#options = options
  }

  async start(): Promise<void> {
    const { read, signal } = this.#options
    const stop = read.onChange(customResourceDefinitions, ({ object }) =>
      this.#look(object.metadata.name),
    )
    signal.addEventListener('abort', stop, { once: true })
    const established = read
      .list(customResourceDefinitions)
      .filter((each) => isTrue(each, 'Established'))
    await Promise.all(established.map((each) => this.#serve(each)))
    for (const { metadata } of read.list(customResourceDefinitions)) this.#look(metadata.name)
  }

  /** One after another: whether a name is free depends on those before. */
  #look(name: string): void {
    this.#waiting.add(name)
    if (this.#busy) return
    this.#busy = true
    void this.#work()
  }

  async #work(): Promise<void> {
    const { env, signal } = this.#options
    for (const name of this.#waiting) {
      if (signal.aborted) break
      this.#waiting.delete(name)
      try {
        await this.#reconcile(name)
      } catch (error) {
        // Another change was faster, and will be looked at.
        if (isStatus(error, 'Conflict') || isStatus(error, 'NotFound')) continue
        env.log.error('a custom resource definition cannot be served', { name, error })
      }
    }
    this.#busy = false
  }

  async #reconcile(name: string): Promise<void> {
    const { read, env } = this.#options
    const definition = read.get(customResourceDefinitions, '', name)
    if (definition === undefined) {
      this.#unserve(name)
      return
    }
    if (definition.metadata.deletionTimestamp !== undefined) {
      if (isTrue(definition, 'Established')) await this.#serve(definition)
      this.#startEnding(definition)
      return
    }
    const others = read
      .list(customResourceDefinitions)
      .filter(
        ({ metadata, spec }) => metadata.name !== name && spec.group === definition.spec.group,
      )
    const status = decideNames(definition, others, env.clock.now())
    const judged = { ...definition, status }
    // Who hears that it is established may use it in the same moment.
    if (isTrue(judged, 'Established')) await this.#serve(judged)
    if (!sameJson(status, definition.status)) await this.#put(judged)
  }

  async #put(definition: CustomResourceDefinition): Promise<void> {
    await this.#options.transport.request({
      method: 'PUT',
      path: `${PATH}/${definition.metadata.name}/status`,
      body: definition,
    })
  }

  async #serve(definition: CustomResourceDefinition): Promise<void> {
    const { metadata, spec, status } = definition
    const { name } = metadata
    const isEnding = metadata.deletionTimestamp !== undefined
    const before = this.#running.get(name)
    const isSameSpec = before !== undefined && sameJson(before.spec, spec)
    if (
      isSameSpec &&
      before.isEnding === isEnding &&
      sameJson(before.status?.acceptedNames, status?.acceptedNames)
    )
      return
    const { convert, add, remove } = this.#options
    const versions = servedVersions(definition, convert)
    // Another schema may show what is stored differently: whoever watches begins anew.
    if (before !== undefined && !isSameSpec)
      for (const each of before.versions.served) remove(each.definition)
    this.#running.set(name, { spec, status, isEnding, versions })
    await Promise.all(versions.served.map((each) => add(each.definition, each.schemas)))
  }

  #unserve(name: string): void {
    const { read, remove } = this.#options
    const before = this.#running.get(name)
    if (before === undefined) return
    this.#running.delete(name)
    for (const { definition } of before.versions.served) remove(definition)
    // Its names are free for others.
    for (const { metadata, spec } of read.list(customResourceDefinitions))
      if (spec.group === before.spec.group) this.#look(metadata.name)
  }

  #startEnding({ metadata }: CustomResourceDefinition): void {
    const { name, finalizers = [] } = metadata
    if (!finalizers.includes(CLEANUP) || this.#ending.has(name)) return
    this.#ending.add(name)
    const { env, signal } = this.#options
    void this.#end(name)
      .catch((error: unknown) => {
        if (!signal.aborted)
          env.log.error('the objects of a definition cannot be removed', { name, error })
      })
      .finally(() => this.#ending.delete(name))
  }

  /** Removes all objects, then lets go of the definition. */
  async #end(name: string): Promise<void> {
    const { env, signal, removeObjects } = this.#options
    await this.#update(name, (each) => terminating(each, IN_PROGRESS, env.clock.now()))
    for (;;) {
      const running = this.#running.get(name)
      try {
        if (running === undefined) break
        if ((await removeObjects(running.versions.stored, signal)) === 0) break
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error)
        await this.#update(name, (each) =>
          terminating(each, { ...FAILED, message: `${FAILED.message}: ${why}` }, env.clock.now()),
        )
      }
      await env.clock.sleep(LOOK_AGAIN_MS, signal)
    }
    await this.#update(name, (each) => {
      const done = terminating(each, DONE, env.clock.now())
      const finalizers = (each.metadata.finalizers ?? []).filter((other) => other !== CLEANUP)
      return { ...done, metadata: { ...done.metadata, finalizers } }
    })
  }

  /** Changes a definition as often as it takes; nothing happens to one that is gone. */
  async #update(
    name: string,
    change: (definition: CustomResourceDefinition) => CustomResourceDefinition,
  ): Promise<void> {
    const { read, env, signal } = this.#options
    for (;;) {
      const definition = read.get(customResourceDefinitions, '', name)
      if (definition === undefined) return
      const next = change(copyJson(definition))
      if (sameJson(next, definition)) return
      try {
        await this.#put(next)
        return
      } catch (error) {
        if (isStatus(error, 'NotFound')) return
        if (!isStatus(error, 'Conflict')) throw error
        await env.clock.sleep(1, signal)
      }
    }
  }
}

type Terminating = Omit<Condition, 'type'>

const IN_PROGRESS: Terminating = {
  status: 'True',
  reason: 'InstanceDeletionInProgress',
  message: 'CustomResource deletion is in progress',
}
const FAILED = {
  status: 'True',
  reason: 'InstanceDeletionFailed',
  message: 'could not list instances',
} satisfies Terminating
const DONE: Terminating = {
  status: 'False',
  reason: 'InstanceDeletionCompleted',
  message: 'removed all instances',
}

function terminating(
  definition: CustomResourceDefinition,
  condition: Terminating,
  now: Date,
): CustomResourceDefinition {
  const { status } = definition
  if (status === undefined) return definition
  const conditions = withCondition(
    status.conditions ?? [],
    { type: 'Terminating', ...condition },
    now,
  )
  return { ...definition, status: { ...status, conditions } }
}
