/** Rules about the ports of services. */
import { FieldPath, type FieldError, duplicate, forbiddenField, required } from '#machinery'
import { goForm } from '../../go-form.ts'
import { check, dnsLabel, portName, portNumber, qualifiedName } from '../../rules.ts'
import type { ServiceSpec } from '../../types.gen.ts'

const path = FieldPath.of('spec')

export function validatePorts(spec: ServiceSpec): readonly FieldError[] {
  const { ports = [], type } = spec
  const errors: FieldError[] = []
  const names = new Set<string>()
  const numbers = new Set<string>()
  const nodePorts = new Set<string>()
  for (const [i, port] of ports.entries()) {
    const at = path.child('ports').index(i)
    const { name = '', protocol = 'TCP', nodePort = 0, targetPort, appProtocol } = port
    if (name === '') {
      if (ports.length > 1) errors.push(required(at.child('name')))
    } else {
      errors.push(...check(at.child('name'), name, dnsLabel))
      if (names.has(name)) errors.push(duplicate(at.child('name'), name))
      names.add(name)
    }
    errors.push(...check(at.child('port'), port.port, portNumber))
    if (typeof targetPort === 'string') {
      errors.push(...check(at.child('targetPort'), targetPort, portName))
    } else if (targetPort !== undefined) {
      errors.push(...check(at.child('targetPort'), targetPort, portNumber))
    }
    if (appProtocol !== undefined) {
      errors.push(...check(at.child('appProtocol'), appProtocol, qualifiedName))
    }
    if (nodePort !== 0) {
      if (type === 'ClusterIP') {
        errors.push(
          forbiddenField(at.child('nodePort'), "may not be used when `type` is 'ClusterIP'"),
        )
      }
      errors.push(...check(at.child('nodePort'), nodePort, portNumber))
      const id = `${protocol}/${nodePort}`
      if (nodePorts.has(id)) errors.push(duplicate(at.child('nodePort'), nodePort))
      nodePorts.add(id)
    }
    const id = `${protocol}/${port.port}`
    if (numbers.has(id))
      errors.push(duplicate(at, goForm('core.v1.ServicePort', { protocol, port: port.port })))
    numbers.add(id)
  }
  return errors
}
