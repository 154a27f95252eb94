/** How what a start has begun is ended again: in order, when it is stopped or when it fails. */
import type { Logger } from '#base'
import type { Containerd, Runtime } from '#kubelet'

type Step = () => Promise<unknown>

/** The steps that take back what a start has done. */
export class Ending {
  readonly #log: Logger
  readonly #steps: Step[] = []
  readonly #over = Promise.withResolvers<void>()
  #ending: Promise<void> | undefined

  constructor(log: Logger) {
    this.#log = log
  }

  /** The last comes first when all is ended. */
  push(step: Step): void {
    this.#steps.push(step)
  }

  /** Resolves when it has been stopped. */
  get stopped(): Promise<void> {
    return this.#over.promise
  }

  /** Ends everything, once. `containers` is done when only what was begun first is left. */
  stop(containers?: Step): Promise<void> {
    return (this.#ending ??= this.#stop(containers))
  }

  async #stop(containers: Step | undefined): Promise<void> {
    if (containers !== undefined) this.#steps.splice(1, 0, containers)
    for (const step of this.#steps.toReversed())
      await step().catch((error: unknown) => this.#log.warn('Not ended in order', { error }))
    this.#over.resolve()
  }

  /** Ends what a start that failed had begun; why it failed is what counts. */
  async abandon(): Promise<void> {
    for (const step of this.#steps.toReversed()) await step().catch(() => undefined)
  }
}

/** Every pod's sandbox, then the runtime: the next start finds nothing running and starts the pods anew. */
export async function stopContainers(
  runtime: Runtime,
  containerd: Containerd | undefined,
): Promise<void> {
  const sandboxes = await runtime.listPodSandboxes()
  await Promise.all(sandboxes.map(({ id }) => runtime.stopPodSandbox(id)))
  await containerd?.stop()
}
