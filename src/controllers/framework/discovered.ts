/** The resources that the server has, kept current by what can change them: no polling. */
import { apiServices, customResourceDefinitions, type APIService } from '#api'
import { discover, type Client, type Discovery, type Informers } from '#client'
import type { Env } from '#base'

export interface Discovered {
  /** As of the last change. Throws when the server cannot be asked. */
  current(): Promise<Discovery>
  /** Called when there may be others; the returned function ends it. */
  onChange(handler: () => void): () => void
}

/** A definition is served a moment after it changed; several often come together. */
const SETTLE_MS = 500
/** Groups that did not answer are asked again after this. */
const RETRY_MS = 30_000

export function followDiscovery(
  { client, informers, env }: { client: Client; informers: Informers; env: Pick<Env, 'clock'> },
  signal: AbortSignal,
): Discovered {
  const handlers = new Set<() => void>()
  let known: Promise<Discovery> | undefined
  let cancel: (() => void) | undefined

  const changed = (delayMs: number): void => {
    cancel?.()
    cancel = env.clock.schedule(delayMs, () => {
      cancel = undefined
      known = undefined
      for (const handler of handlers) handler()
    })
  }
  // APIs of other servers come, go, and are out of reach for a while.
  const stopRemotes = informers.informer(apiServices).onChange((current, old) => {
    const shown = (service: APIService | undefined): string =>
      service?.spec.service === undefined
        ? ''
        : JSON.stringify([service.spec, service.status?.conditions?.map(({ status }) => status)])
    if (shown(current) !== shown(old)) changed(SETTLE_MS)
  })
  const stop = informers.informer(customResourceDefinitions).onChange((current, old) => {
    const before = old?.status?.conditions
    // Only what is served matters here: a change of status without a change of conditions does not.
    if (JSON.stringify(current?.status?.conditions) === JSON.stringify(before) && old !== undefined)
      if (current !== undefined && current.metadata.generation === old.metadata.generation) return
    changed(SETTLE_MS)
  })
  signal.addEventListener('abort', () => {
    stop()
    stopRemotes()
    cancel?.()
  })

  return {
    current() {
      const asked = (known ??= discover(client.transport, signal))
      asked.then(
        ({ failed }) => {
          if (failed.length > 0 && known === asked && cancel === undefined) changed(RETRY_MS)
        },
        () => {
          if (known === asked) known = undefined
        },
      )
      return asked
    },
    onChange(handler) {
      handlers.add(handler)
      return () => void handlers.delete(handler)
    },
  }
}
