/** A configuration file that is read again when it changes. One that is wrong leaves everything as it was. */
import { dirname } from 'node:path'
import type { Env } from '#base'

export interface FollowedFile<T> {
  current(): T
  close(): void
}

export interface FollowOptions<T> {
  /** `authentication`, `authorization`: in the log and in the metric's name. */
  readonly what: string
  /** Throws an Error that says what is wrong. */
  readonly parse: (text: string) => T | Promise<T>
  /** Throws when this change takes a restart. */
  readonly mayFollow?: (before: T, next: T) => void
}

/** Editors write in several steps. */
const SETTLE_MS = 200

export async function followFile<T>(
  env: Pick<Env, 'fs' | 'clock' | 'log' | 'metrics'>,
  file: string,
  { what, parse, mayFollow }: FollowOptions<T>,
): Promise<FollowedFile<T>> {
  const log = env.log.for(what)
  const read = async (text: string): Promise<T> => {
    try {
      return await parse(text)
    } catch (error) {
      throw new Error(`${file}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      })
    }
  }
  let text = await env.fs.readText(file)
  let current = await read(text)
  const reloads = env.metrics.counter({
    name: `apiserver_${what}_config_controller_automatic_reloads_total`,
    help: 'Times that the changed configuration was read.',
    labels: ['status'],
  })
  const reload = async (): Promise<void> => {
    const now = await env.fs.readText(file)
    if (now === text) return
    text = now
    const next = await read(now)
    mayFollow?.(current, next)
    current = next
    reloads.with('success').add()
    log.info('The configuration was read anew', { file })
  }
  const closing = new AbortController()
  let cancel: () => void = () => undefined
  const changed = (): void => {
    cancel()
    cancel = env.clock.schedule(SETTLE_MS, () => {
      reload().catch((error: unknown) => {
        reloads.with('failure').add()
        log.error('The changed configuration is not used', { error })
      })
    })
  }
  // The folder: who writes a new file in the place of the old one does not change the old one.
  env.fs.watch(dirname(file), changed, closing.signal)
  return {
    current: () => current,
    close() {
      cancel()
      closing.abort()
    },
  }
}
