/** Images that nobody has pulled. */
import type { Env } from '#base'
import { type Image, RuntimeError } from '../runtime.ts'

export interface SimulatedImagesOptions {
  readonly pullMs?: number
  readonly sizeBytes?: number
  /** Which images exist; all that do not look made up, by default. */
  readonly imageExists?: (image: string) => boolean
}

const DEFAULT_PULL_MS = 20
const DEFAULT_IMAGE_BYTES = 5_000_000

/** Tags and hosts that tests use for images which cannot be pulled. */
const looksMissing = (image: string): boolean =>
  /(^|[/:@-])(nonexistent|non-existent|does-not-exist|doesnotexist|missing|invalid|no-such|404$)/i.test(
    image,
  )

export class SimulatedImages {
  readonly #clock: Env['clock']
  readonly #options: SimulatedImagesOptions
  /** By the names that they were pulled by. */
  readonly #images = new Map<string, Image>()

  constructor(clock: Env['clock'], options: SimulatedImagesOptions) {
    this.#clock = clock
    this.#options = options
  }

  list(): readonly Image[] {
    return [...this.#images.values()]
  }

  find(image: string): Image | undefined {
    return (
      this.#images.get(image) ??
      this.list().find(({ id, digests }) => id === image || digests.includes(image))
    )
  }

  async pull(image: string, signal: AbortSignal): Promise<string> {
    await this.#clock.sleep(this.#options.pullMs ?? DEFAULT_PULL_MS, signal)
    const exists = this.#options.imageExists ?? ((name: string) => !looksMissing(name))
    if (!exists(image)) {
      throw new RuntimeError(
        'notFound',
        `rpc error: code = NotFound desc = failed to pull and unpack image "${image}": failed to resolve reference "${image}": ${image}: not found`,
      )
    }
    const digest = `sha256:${digestOf(image)}`
    const repository = image.replace(/[:@][^/]*$/, '')
    this.#images.set(image, {
      id: digest,
      tags: [image],
      digests: [`${repository}@${digest}`],
      sizeBytes: this.#options.sizeBytes ?? DEFAULT_IMAGE_BYTES,
      username: '',
      pinned: false,
    })
    return digest
  }

  remove(image: string): void {
    this.#images.delete(image)
  }
}

function digestOf(image: string): string {
  // FNV-1a, stretched: the same image has the same digest in every run.
  let hash = 2_166_136_261
  let text = ''
  for (let round = 0; round < 8; round++) {
    for (const letter of image) {
      hash = Math.imul(hash ^ (letter.codePointAt(0) ?? 0), 16_777_619) >>> 0
    }
    text += hash.toString(16).padStart(8, '0')
  }
  return text
}
