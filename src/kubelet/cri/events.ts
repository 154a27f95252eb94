/** What containerd says of its tasks. The envelope is decoded by schema, the two small events by hand. */
import type { Env } from '#base'
import type { RuntimeEvent } from '../runtime.ts'
import type { Connection } from './connection.ts'

interface Envelope {
  readonly namespace: string
  readonly topic: string
  readonly event: { readonly value: Uint8Array } | null
}

const FILTERS = ['exit', 'start', 'oom'].map((what) => `namespace==k8s.io,topic=="/tasks/${what}"`)
/** The CRI plugin follows the same events, a moment later: what it says is asked until it has. */
const CATCH_UP_MS = [0, 2, 5, 10, 20, 50, 100, 200, 400, 800, 1600]

export async function* containerdEvents(
  connection: Connection,
  isStopped: (id: string) => Promise<boolean>,
  { clock }: Pick<Env, 'clock'>,
  signal: AbortSignal,
): AsyncIterable<RuntimeEvent> {
  const settled = new Queue<RuntimeEvent>()
  const pump = async () => {
    const envelopes = connection.stream<Envelope>(
      'containerd.services.events.v1.Events',
      'Subscribe',
      { filters: FILTERS },
      signal,
    )
    for await (const { topic, event } of envelopes) {
      const { containerId, id } = readIds(event?.value ?? new Uint8Array())
      if (topic === '/tasks/start') settled.push({ type: 'started', id: containerId })
      // A process that was run in the container by exec has an id of its own.
      else if (topic === '/tasks/exit' && id === containerId) {
        void whenStopped(isStopped, containerId, clock, signal).then(() =>
          settled.push({ type: 'stopped', id: containerId }),
        )
      }
    }
  }
  const pumping = pump().then(
    () => settled.end(),
    (error: unknown) => settled.end(error),
  )
  yield* settled
  await pumping
}

async function whenStopped(
  isStopped: (id: string) => Promise<boolean>,
  id: string,
  clock: Env['clock'],
  signal: AbortSignal,
): Promise<void> {
  for (const delay of CATCH_UP_MS) {
    if (delay > 0) await clock.sleep(delay, signal).catch(() => {})
    if (signal.aborted || (await isStopped(id).catch(() => true))) return
  }
}

/** Both events begin with: 1 = container id, 2 = id of the process. */
export function readIds(bytes: Uint8Array): { readonly containerId: string; readonly id: string } {
  const found = new Map<number, string>()
  for (let at = 0; at < bytes.length;) {
    const key = bytes[at] ?? 0
    const length = bytes[at + 1] ?? 0
    // Ids are 64 letters; anything else that is not a short string ends the part we need.
    if ((key & 7) !== 2 || length > 127) break
    found.set(key >> 3, Buffer.from(bytes.subarray(at + 2, at + 2 + length)).toString())
    at += 2 + length
  }
  const containerId = found.get(1) ?? ''
  return { containerId, id: found.get(2) ?? containerId }
}

/** A queue with one reader. Its writers are bounded by what the reader's source sends. */
class Queue<T> implements AsyncIterable<T> {
  readonly #items: T[] = []
  #wake: (() => void) | undefined
  #over = false
  #error: unknown

  push(item: T): void {
    this.#items.push(item)
    this.#wake?.()
  }

  end(error?: unknown): void {
    this.#over = true
    this.#error = error
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const item = this.#items.shift()
      if (item !== undefined) yield item
      else if (this.#over) {
        if (this.#error !== undefined) throw this.#error
        return
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
        this.#wake = undefined
      }
    }
  }
}
