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

/** One port of the host serves one container of the pod. */
export function hostPortConflicts(spec: PodSpec, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const sidecars = (spec.initContainers ?? []).filter((c) => c.restartPolicy === 'Always')
  const taken = new Set<string>()
  const lists = [
    { containers: sidecars, path: path.child('initContainers') },
    { containers: spec.containers ?? [], path: path.child('containers') },
  ]
  for (const list of lists) {
    for (const [i, { ports = [] }] of list.containers.entries()) {
      for (const [
        j,
        { hostPort = 0, protocol = 'TCP', hostIP = '', containerPort },
      ] of ports.entries()) {
        if (hostPort === 0) continue
        const at = list.path.index(i).child('ports').index(j)
        if (spec.hostNetwork === true && hostPort !== containerPort) {
          errors.push(
            invalidValue(
              at.child('containerPort'),
              containerPort,
              'must match `hostPort` when `hostNetwork` is true',
            ),
          )
        }
        const key = `${protocol}/${hostIP}/${hostPort}`
        if (taken.has(key)) errors.push(duplicate(at.child('hostPort'), key))
        taken.add(key)
      }
    }
  }
  return errors
}
