/**
 * ConfigMaps, Secrets and trust bundles that pods on this node use: each watched by its name while some pod uses it,
 * so that a change reaches the pods' files at once, and nothing is asked for that no pod needs.
 */
import type { Env } from '#base'
import { type ConfigMap, type Pod, type Secret, configMaps, secrets } from '#api'
import { type Client, type Informer, createInformers } from '#client'
import type { ResourceRef } from '#machinery'
import { namespaceOf, uidOf } from './pod/containers.ts'
import { environmentSources } from './pod/environment.ts'
import { sourceRefs } from './volumes/payload.ts'
import { clusterTrustBundles } from './volumes/trust-bundles.ts'

type Kind = 'ConfigMap' | 'Secret' | 'ClusterTrustBundle'

interface Watched {
  readonly informer: Pick<Informer<ConfigMap>, 'synced'> & {
    get(key: string): unknown
    onChange(handler: (current: unknown, old: unknown) => void): () => void
  }
  readonly stop: AbortController
  readonly users: Set<string>
}

export interface SourcesOptions {
  readonly client: Client
  readonly env: Pick<Env, 'clock' | 'random' | 'log'>
  /** An object that the pods use has changed. */
  readonly onChange: (podUids: ReadonlySet<string>) => void
  /** Ends all watching. */
  readonly signal: AbortSignal
}

export class Sources {
  readonly #options: SourcesOptions
  readonly #watched = new Map<string, Watched>()
  readonly #keysOf = new Map<string, ReadonlySet<string>>()

  constructor(options: SourcesOptions) {
    this.#options = options
  }

  /** Watches what the pod uses, from now until it is forgotten. */
  use(pod: Pod): void {
    const uid = uidOf(pod)
    const keys = new Set(usedKeys(pod))
    const before = this.#keysOf.get(uid)
    this.#keysOf.set(uid, keys)
    for (const key of keys) this.#watch(key).users.add(uid)
    for (const key of before ?? []) if (!keys.has(key)) this.#leave(key, uid)
  }

  forget(uid: string): void {
    for (const key of this.#keysOf.get(uid) ?? []) this.#leave(key, uid)
    this.#keysOf.delete(uid)
  }

  configMap(namespace: string, name: string): Promise<ConfigMap | undefined> {
    return this.#find('ConfigMap', configMaps, namespace, name)
  }

  secret(namespace: string, name: string): Promise<Secret | undefined> {
    return this.#find('Secret', secrets, namespace, name)
  }

  async #find<T extends ConfigMap | Secret>(
    kind: Kind,
    ref: ResourceRef<T>,
    namespace: string,
    name: string,
  ): Promise<T | undefined> {
    const watched = this.#watched.get(keyFor(kind, namespace, name))
    if (watched !== undefined) {
      await watched.informer.synced
      const found = watched.informer.get(`${namespace}/${name}`)
      if (found !== undefined) return found as T
    }
    // Perhaps it was made a moment ago.
    return this.#options.client.getOptional(ref, { namespace, name })
  }

  #watch(key: string): Watched {
    const known = this.#watched.get(key)
    if (known !== undefined) return known
    const [kind, namespace = '', name = ''] = key.split('/')
    const stop = new AbortController()
    const { client, env, onChange, signal } = this.#options
    const informers = createInformers(client, env, AbortSignal.any([signal, stop.signal]))
    const selection = { namespace, fieldSelector: `metadata.name=${name}` }
    const informer =
      kind === 'Secret'
        ? informers.informer(secrets, selection)
        : kind === 'ConfigMap'
          ? informers.informer(configMaps, selection)
          : informers.informer(clusterTrustBundles)
    const made: Watched = { informer, stop, users: new Set() }
    this.#watched.set(key, made)
    // The first state is no change: pods that need it ask for it.
    void informer.synced.then(
      () => {
        const handler = (current: unknown, old: unknown) => {
          if (primed && current !== old) onChange(made.users)
        }
        let primed = false
        informer.onChange(handler)
        primed = true
      },
      () => {},
    )
    return made
  }

  #leave(key: string, uid: string): void {
    const watched = this.#watched.get(key)
    if (watched === undefined) return
    watched.users.delete(uid)
    if (watched.users.size > 0) return
    watched.stop.abort()
    this.#watched.delete(key)
  }
}

const keyFor = (kind: Kind, namespace: string, name: string): string =>
  `${kind}/${namespace}/${name}`

function* usedKeys(pod: Pod): Generator<string> {
  const namespace = namespaceOf(pod)
  const environment = environmentSources(pod)
  for (const name of environment.configMaps) yield keyFor('ConfigMap', namespace, name)
  for (const name of environment.secrets) yield keyFor('Secret', namespace, name)
  for (const { name = '' } of pod.spec.imagePullSecrets ?? []) {
    yield keyFor('Secret', namespace, name)
  }
  for (const volume of pod.spec.volumes ?? []) {
    for (const ref of sourceRefs(volume)) {
      if (ref.kind === 'ConfigMap' || ref.kind === 'Secret') {
        yield keyFor(ref.kind, namespace, ref.name)
      }
      // Any of them may be what a signer's selector finds.
      if (ref.kind === 'ClusterTrustBundle') yield keyFor(ref.kind, '', '')
    }
  }
}
