/** Images for containers: looked up, pulled when the policy says so, and tried again ever more slowly. */
import type { Env } from '#base'
import type { Pod } from '#api'
import { Backoff, IMAGE_BACKOFF } from './backoff.ts'
import type { AnyContainer } from './pod/containers.ts'
import type { ImageUser } from './pod/security.ts'
import type { Waiting } from './pod/status.ts'
import type { Image, RegistryAuth, Runtime, RuntimeVersion } from './runtime.ts'
import { VolumeError } from './volumes/payload.ts'

export interface ReadyImage extends ImageUser {
  /** As the runtime names it. */
  readonly ref: string
}

export type ImageState =
  | { readonly type: 'ready'; readonly image: ReadyImage }
  | { readonly type: 'pulling' }
  /** Not now: `retryMs` says when to ask again. */
  | { readonly type: 'failed'; readonly waiting: Waiting; readonly retryMs: number }

export type ImageEvent = (
  container: AnyContainer,
  type: 'Normal' | 'Warning',
  reason: string,
  message: string,
) => void

export interface ImagesOptions {
  readonly runtime: Runtime
  readonly env: Pick<Env, 'clock'>
  readonly auth: (pod: Pod, image: string) => Promise<readonly RegistryAuth[]>
  /** Of pulls at a time; more wait in line. */
  readonly parallel?: number
  /** The node has another image. */
  readonly onPulled: () => void
}

export interface ImageRequest {
  readonly pod: Pod
  readonly container: AnyContainer
  readonly attempt: number
  readonly report: ImageEvent
  /** A pull has ended, well or not. */
  readonly onDone: () => void
  readonly signal: AbortSignal
}

const DEFAULT_PARALLEL = 4

interface Failure {
  readonly waiting: Waiting
  readonly atMs: number
  told: boolean
}

/** The error itself is shown for so long, and then that it is waited. */
const SHOW_ERROR_MS = 2000

/** Pulls each image once for all who wait for it. */
export class Images {
  readonly #options: ImagesOptions
  readonly #backoff: Backoff
  readonly #failures = new Map<string, Failure>()
  readonly #pulls = new Set<string>()
  readonly #waiting: (() => void)[] = []
  /** Pulled for this pod and container, which an `Always` policy asks for once a start. */
  readonly #fresh = new Map<string, ReadyImage>()
  /** Looked for at this moment: whoever asks too gets the same answer. */
  readonly #asked = new Map<string, Promise<ImageState>>()
  #active = 0

  constructor(options: ImagesOptions) {
    this.#options = options
    this.#backoff = new Backoff(IMAGE_BACKOFF, options.env)
  }

  /** What there is now; starts a pull when one is due and calls `onDone` when it has ended. */
  ensure(request: ImageRequest): Promise<ImageState> {
    const name = normalized(request.container.image ?? '')
    const key = `${request.pod.metadata.uid}/${request.container.name}/${request.attempt}/${name}`
    const asked = this.#asked.get(key)
    if (asked !== undefined) return asked
    const answer = this.#ensure(request, name, key).finally(() => this.#asked.delete(key))
    this.#asked.set(key, answer)
    return answer
  }

  async #ensure(
    { pod, container, report, onDone, signal }: ImageRequest,
    name: string,
    key: string,
  ): Promise<ImageState> {
    const policy = container.imagePullPolicy ?? (isLatest(name) ? 'Always' : 'IfNotPresent')
    const fresh = this.#fresh.get(key)
    if (fresh !== undefined) return { type: 'ready', image: fresh }
    if (this.#pulls.has(key)) return { type: 'pulling' }

    const { runtime } = this.#options
    const present = await runtime.imageStatus(name)
    if (present !== undefined && policy !== 'Always') {
      const text = `Container image "${container.image ?? ''}" already present on machine`
      report(container, 'Normal', 'Pulled', text)
      return this.#ready(key, present)
    }
    if (policy === 'Never') {
      const message = `Container image "${container.image ?? ''}" is not present with pull policy of Never`
      report(container, 'Warning', 'ErrImageNeverPull', message)
      return {
        type: 'failed',
        waiting: { reason: 'ErrImageNeverPull', message },
        retryMs: IMAGE_BACKOFF.firstMs,
      }
    }
    const backoffKey = `${pod.metadata.uid}/${name}`
    const waitMs = this.#backoff.waitMs(backoffKey)
    if (waitMs > 0) return this.#backingOff(container, backoffKey, waitMs, report)
    this.#pulls.add(key)
    void this.#pull({ pod, container, name, key, backoffKey, report, signal }).finally(() => {
      this.#pulls.delete(key)
      onDone()
    })
    return { type: 'pulling' }
  }

  /** For a volume that is an image: its reference in the runtime. */
  async forVolume(pod: Pod, image: string, policy: string, signal: AbortSignal): Promise<string> {
    const { runtime, auth } = this.#options
    const name = normalized(image)
    const present = await runtime.imageStatus(name)
    if (present !== undefined && policy !== 'Always') return present.id
    if (policy === 'Never') {
      throw new VolumeError(`image "${image}" is not present with pull policy of Never`)
    }
    await this.#turn()
    try {
      return await this.#pullWith(name, await auth(pod, name), signal)
    } catch (error) {
      signal.throwIfAborted()
      const why = error instanceof Error ? error.message : String(error)
      throw new VolumeError(`failed to pull image "${image}": ${why}`)
    } finally {
      this.#next()
    }
  }

  /** A failed pull of the container, to be shown while it waits; undefined when there is none. */
  failure(pod: Pod, image: string): Waiting | undefined {
    return this.#failures.get(`${pod.metadata.uid}/${normalized(image)}`)?.waiting
  }

  /** The pod is gone: nothing need be remembered for it. */
  forget(podUid: string): void {
    for (const map of [this.#fresh, this.#failures]) {
      for (const key of map.keys()) if (key.startsWith(`${podUid}/`)) map.delete(key)
    }
    this.#backoff.forget(`${podUid}/`)
  }

  /** The container was started: the next start looks again. */
  used(pod: Pod, container: AnyContainer, attempt: number): void {
    const name = normalized(container.image ?? '')
    this.#fresh.delete(`${pod.metadata.uid}/${container.name}/${attempt}/${name}`)
  }

  #ready(key: string, image: Image): ImageState {
    const ready = readyImage(image)
    this.#fresh.set(key, ready)
    return { type: 'ready', image: ready }
  }

  #backingOff(
    container: AnyContainer,
    key: string,
    retryMs: number,
    report: ImageEvent,
  ): ImageState {
    const image = container.image ?? ''
    const last = this.#failures.get(key)
    const shownMs =
      last === undefined ? SHOW_ERROR_MS : this.#options.env.clock.monotonic() - last.atMs
    if (last !== undefined && shownMs < SHOW_ERROR_MS) {
      return { type: 'failed', waiting: last.waiting, retryMs: SHOW_ERROR_MS - shownMs }
    }
    const text = `Back-off pulling image "${image}"`
    if (last?.told !== true) {
      report(container, 'Normal', 'BackOff', text)
      report(container, 'Warning', 'Failed', 'Error: ImagePullBackOff')
      if (last !== undefined) last.told = true
    }
    const why = last === undefined ? '' : `: ${last.waiting.reason}: ${last.waiting.message ?? ''}`
    return {
      type: 'failed',
      waiting: { reason: 'ImagePullBackOff', message: `${text}${why}` },
      retryMs,
    }
  }

  async #pull({
    pod,
    container,
    name,
    key,
    backoffKey,
    report,
    signal,
  }: {
    readonly pod: Pod
    readonly container: AnyContainer
    readonly name: string
    readonly key: string
    readonly backoffKey: string
    readonly report: ImageEvent
    readonly signal: AbortSignal
  }): Promise<void> {
    const { runtime, auth, env } = this.#options
    const shown = container.image ?? ''
    const askedMs = env.clock.monotonic()
    report(container, 'Normal', 'Pulling', `Pulling image "${shown}"`)
    try {
      await this.#turn()
      const startedMs = env.clock.monotonic()
      try {
        const ref = await this.#pullWith(name, await auth(pod, name), signal)
        const now = env.clock.monotonic()
        const image = await runtime.imageStatus(ref)
        const size = image === undefined ? '' : ` Image size: ${image.sizeBytes} bytes.`
        report(
          container,
          'Normal',
          'Pulled',
          `Successfully pulled image "${shown}" in ${duration(now - startedMs)} (${duration(now - askedMs)} including waiting).${size}`,
        )
        this.#fresh.set(key, image === undefined ? { ref, username: '' } : readyImage(image))
        this.#options.onPulled()
        this.#failures.delete(backoffKey)
        this.#backoff.forget(backoffKey)
      } finally {
        this.#next()
      }
    } catch (error) {
      if (signal.aborted) return
      const why = error instanceof Error ? error.message : String(error)
      const message = `failed to pull image "${shown}": ${why}`
      const reason = invalidName(why) ? 'InvalidImageName' : 'ErrImagePull'
      report(container, 'Warning', 'Failed', `Failed to pull image "${shown}": ${why}`)
      report(container, 'Warning', 'Failed', `Error: ${reason}`)
      const atMs = env.clock.monotonic()
      this.#failures.set(backoffKey, { waiting: { reason, message }, atMs, told: false })
      this.#backoff.next(backoffKey)
    }
  }

  /** With each credential that fits the image, and at last without any. */
  async #pullWith(
    name: string,
    credentials: readonly RegistryAuth[],
    signal: AbortSignal,
  ): Promise<string> {
    let failure: unknown
    for (const credential of credentials) {
      try {
        return await this.#options.runtime.pullImage(name, credential, undefined, signal)
      } catch (error) {
        signal.throwIfAborted()
        failure ??= error
      }
    }
    try {
      return await this.#options.runtime.pullImage(name, undefined, undefined, signal)
    } catch (error) {
      throw failure ?? error
    }
  }

  async #turn(): Promise<void> {
    const limit = this.#options.parallel ?? DEFAULT_PARALLEL
    if (this.#active < limit) {
      this.#active++
      return
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  #next(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#active--
    else next()
  }
}

const readyImage = ({ id, uid, username }: Image): ReadyImage => ({
  ref: id,
  ...(uid === undefined ? {} : { uid }),
  username,
})

const invalidName = (why: string): boolean =>
  /invalid reference format|could not parse reference|repository name must be lowercase/i.test(why)

/** `busybox` is `busybox:latest`, as upstream adds it before it asks the runtime. */
export function normalized(image: string): string {
  const last = image.slice(image.lastIndexOf('/') + 1)
  return image === '' || /[:@]/.test(last) ? image : `${image}:latest`
}

const isLatest = (image: string): boolean => image.endsWith(':latest')

/** As Go writes durations: `1.2s`, `350ms`, `1m2.5s`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)}ms`
  const seconds = Math.round(ms) / 1000
  if (seconds < 60) return `${seconds}s`
  const minutes = Math.floor(seconds / 60)
  const rest = Math.round((seconds - minutes * 60) * 1000) / 1000
  return minutes < 60
    ? `${minutes}m${rest}s`
    : `${Math.floor(minutes / 60)}h${minutes % 60}m${rest}s`
}

/** Whether the runtime itself mounts images into containers: containerd does since 2.1. */
export function mountsImages({ name, version }: RuntimeVersion): boolean {
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number)
  return name !== 'containerd' || major > 2 || (major === 2 && minor >= 1)
}
