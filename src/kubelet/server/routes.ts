/** Which conversation with a pod a path means, in the layout that stock kubelets have. */
import type { PodTarget } from '#client'

export interface PodRoute {
  readonly kind: 'containerLogs' | 'run' | 'exec' | 'attach' | 'portForward'
  readonly target: PodTarget
  /** '' for port-forward. */
  readonly container: string
}

const METHODS: Readonly<Record<PodRoute['kind'], readonly string[]>> = {
  containerLogs: ['GET'],
  run: ['POST'],
  exec: ['GET', 'POST'],
  attach: ['GET', 'POST'],
  portForward: ['GET', 'POST'],
}

/** Undefined when it is none of these. The path is decoded. */
export function podRoute(path: string): PodRoute | undefined {
  const [, name = '', ...parts] = path.split('/')
  const kind = (Object.keys(METHODS) as PodRoute['kind'][]).find((known) => known === name)
  if (kind === undefined || parts.some((part) => part === '')) return undefined
  const [namespace = '', pod = '', third, fourth] = parts
  const target = (uid?: string): PodTarget => ({
    namespace,
    pod,
    ...(uid === undefined ? {} : { uid }),
  })
  if (kind === 'portForward')
    return parts.length === 2 || parts.length === 3
      ? { kind, target: target(third), container: '' }
      : undefined
  if (parts.length === 3 && third !== undefined) return { kind, target: target(), container: third }
  if (kind !== 'containerLogs' && parts.length === 4 && fourth !== undefined)
    return { kind, target: target(third), container: fourth }
  return undefined
}

export const allows = ({ kind }: PodRoute, method: string): boolean =>
  METHODS[kind].includes(method)
