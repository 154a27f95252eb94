/** Ports of the node that belong to a pod. */
import type { Pod } from '#api'
import { isIPv4 } from '../ip.ts'
import type { HostPorts } from './ledger.ts'

/** Undefined: it has none, or none yet, or none any more. On the host's network a pod has its ports by itself. */
export function hostPortsOf({ spec, status }: Pod): HostPorts | undefined {
  if (spec?.hostNetwork === true) return undefined
  if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return undefined
  // Sidecars are init containers that go on.
  const containers = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])]
  const ports = containers.flatMap(({ ports: own }) =>
    (own ?? []).flatMap(({ hostIP, hostPort, containerPort, protocol }) => {
      if (hostPort === undefined || hostPort === 0) return []
      // A node address of the other family is not for this table.
      if (hostIP !== undefined && hostIP !== '' && !isIPv4(hostIP)) return []
      const lower = (protocol ?? 'TCP').toLowerCase() as 'tcp' | 'udp' | 'sctp'
      return [{ hostPort, containerPort, protocol: lower, ...(hostIP && { hostIP }) }]
    }),
  )
  const addresses = [status?.podIP ?? '', ...(status?.podIPs ?? []).map(({ ip }) => ip)]
  const ip = addresses.find(isIPv4)
  return ip === undefined || ports.length === 0 ? undefined : { ip, ports }
}
