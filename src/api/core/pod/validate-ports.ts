/** Rules about the ports of containers, and of the host that they stand for. */
import { type FieldError, type FieldPath, duplicate, invalidValue, required } from '#machinery'
import type { ContainerPort, PodSpec } from '../../types.gen.ts'
import { check, portName, portNumber } from '../../rules.ts'

export function validatePorts(
  ports: readonly ContainerPort[],
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  const names = new Set<string>()
  for (const [i, { name = '', containerPort, hostPort = 0 }] of ports.entries()) {
    const at = path.index(i)
    if (name !== '') {
      const wrong = check(at.child('name'), name, portName)
      if (wrong.length > 0) errors.push(...wrong)
      else if (names.has(name)) errors.push(duplicate(at.child('name'), name))
      names.add(name)
    }
    if (containerPort === 0) errors.push(required(at.child('containerPort')))
    else errors.push(...check(at.child('containerPort'), containerPort, portNumber))
    if (hostPort !== 0) errors.push(...check(at.child('hostPort'), hostPort, portNumber))
  }
  return errors
}

/** One port of the host serves one container of the pod; init containers run one after the other. */
export function hostPortConflicts(spec: PodSpec, path: FieldPath): readonly FieldError[] {
  const { initContainers = [], hostNetwork = false } = spec
  const taken = new Set<string>()
  const init = path.child('initContainers')
  return [
    ...initContainers.flatMap(({ ports = [] }, i) =>
      portsTaken(ports, init.index(i).child('ports'), new Set()),
    ),
    ...(spec.containers ?? []).flatMap(({ ports = [] }, i) => {
      const at = path.child('containers').index(i).child('ports')
      return [...portsTaken(ports, at, taken), ...(hostNetwork ? sameAsHost(ports, at) : [])]
    }),
  ]
}

function portsTaken(
  ports: readonly ContainerPort[],
  path: FieldPath,
  taken: Set<string>,
): readonly FieldError[] {
  const errors: FieldError[] = []
  for (const [i, { hostPort = 0, protocol = 'TCP', hostIP = '' }] of ports.entries()) {
    if (hostPort === 0) continue
    const key = `${protocol}/${hostIP}/${hostPort}`
    if (taken.has(key)) errors.push(duplicate(path.index(i).child('hostPort'), key))
    taken.add(key)
  }
  return errors
}

/** In the network of the host its ports are the container's. */
const sameAsHost = (ports: readonly ContainerPort[], path: FieldPath): readonly FieldError[] =>
  ports.flatMap(({ hostPort = 0, containerPort }, i) =>
    hostPort === 0 || hostPort === containerPort
      ? []
      : [
          invalidValue(
            path.index(i).child('containerPort'),
            containerPort,
            'must match `hostPort` when `hostNetwork` is true',
          ),
        ],
  )
