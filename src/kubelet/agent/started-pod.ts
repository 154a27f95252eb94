/** A pod's agent, as those see it who start and end its containers. */
import type { Pod } from '#api'
import type { KubeletContext } from '../context.ts'
import type { ImageRequest } from '../images.ts'
import type { AnyContainer } from '../pod/containers.ts'
import type { CrashState } from '../pod/crash.ts'
import type { Waiting } from '../pod/status.ts'
import type { PodFiles } from './files.ts'
import type { Sandboxes } from './sandboxes.ts'
import type { PodView } from './view.ts'

export interface StartedPod {
  readonly context: KubeletContext
  /** With its status as far as this node knows it, and with what it has been given of what it asks for. */
  readonly pod: Pod
  readonly view: PodView
  readonly files: PodFiles
  readonly sandboxes: Sandboxes
  /** Why containers have not started, by their names. */
  readonly waiting: Map<string, Waiting>
  readonly crashes: Map<string, CrashState>
  readonly podIps: readonly string[]
  /** Stops when the pod is to stop. */
  readonly signal: AbortSignal
  imageRequest(container: AnyContainer, attempt: number): ImageRequest
  /** What a container of this id was made with. */
  made(id: string, container: AnyContainer): void
  /** A container was started again after its end. */
  restarted(container: AnyContainer, endedMs: number): void
  /** Does not start the container again before so long, unless something changes that it needs. */
  hold(name: string, ms: number): void
  isHeld(name: string): boolean
  publish(): void
  wakeIn(ms: number): void
  event(type: 'Normal' | 'Warning', reason: string, message: string, container?: string): void
}
