/** Which container of which pod on which node a conversation is with. */
import type { NodeApi, PodTarget } from '#client'
import type { Pod } from '#api'
import { StatusError, badRequest, notFound } from '#machinery'
import type { ConnectTarget } from '../extensions.ts'

/** How the API server reaches a node's kubelet; undefined when it cannot. */
export type NodeApis = (nodeName: string) => NodeApi | undefined

const DEFAULT_CONTAINER = 'kubectl.kubernetes.io/default-container'

export function podOf({ object, name }: ConnectTarget): Pod {
  if (object === undefined) throw notFound({ group: '', resource: 'pods' }, name)
  return object as Pod
}

/** The container that was asked for, checked, or the one that is meant when none was. */
export function containerOf(pod: Pod, asked: string): string {
  const names = (list: readonly { readonly name: string }[] | undefined): readonly string[] =>
    (list ?? []).map(({ name }) => name)
  const containers = names(pod.spec?.containers)
  const init = names(pod.spec?.initContainers)
  const ephemeral = names(pod.spec?.ephemeralContainers)
  const all = [...containers, ...init, ...ephemeral]
  if (asked !== '') {
    if (all.includes(asked)) return asked
    throw badRequest(`container ${asked} is not valid for pod ${pod.metadata.name}`)
  }
  const [first, ...others] = containers
  if (first !== undefined && others.length === 0) return first
  const preferred = pod.metadata.annotations?.[DEFAULT_CONTAINER]
  if (preferred !== undefined && all.includes(preferred)) return preferred
  if (first === undefined)
    throw badRequest(`a container name must be specified for pod ${pod.metadata.name}`)
  throw badRequest(
    [
      `a container name must be specified for pod ${pod.metadata.name}, choose one of: [${containers.join(' ')}]`,
      ...(init.length > 0 ? [`or one of the init containers: [${init.join(' ')}]`] : []),
      ...(ephemeral.length > 0
        ? [`or one of the ephemeral containers: [${ephemeral.join(' ')}]`]
        : []),
    ].join(' '),
  )
}

/** The kubelet of the pod's node. */
export function nodeApiOf(pod: Pod, nodeApi: NodeApis): NodeApi {
  const node = pod.spec?.nodeName
  if (!node) throw badRequest(`pod ${pod.metadata.name} does not have a host assigned`)
  return reach(node, nodeApi)
}

export function reach(node: string, nodeApi: NodeApis): NodeApi {
  const found = nodeApi(node)
  if (found === undefined)
    throw new StatusError(
      'InternalError',
      `error dialing backend: nothing is known of the kubelet of node "${node}"`,
    )
  return found
}

export const targetOf = ({ metadata }: Pod): PodTarget => ({
  namespace: metadata.namespace ?? '',
  pod: metadata.name,
  uid: metadata.uid,
})
