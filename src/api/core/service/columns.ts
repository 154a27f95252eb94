/** Services in tables. */
import { NONE } from '../../columns.ts'
import type { Service, ServicePort } from '../../types.gen.ts'

export function externalIP({ spec, status }: Service): string {
  const external = spec.externalIPs ?? []
  switch (spec.type) {
    case 'LoadBalancer': {
      const given = (status?.loadBalancer?.ingress ?? []).map(({ ip = '', hostname = '' }) =>
        ip === '' ? hostname : ip,
      )
      const all = [...given, ...external].filter((text) => text !== '')
      return all.length > 0 ? all.join(',') : '<pending>'
    }
    case 'ExternalName':
      return spec.externalName ?? ''
    default:
      return external.length > 0 ? external.join(',') : NONE
  }
}

export function portsText(ports: readonly ServicePort[]): string {
  if (ports.length === 0) return NONE
  return ports
    .map(({ port, nodePort = 0, protocol = 'TCP' }) =>
      nodePort > 0 ? `${port}:${nodePort}/${protocol}` : `${port}/${protocol}`,
    )
    .join(',')
}
