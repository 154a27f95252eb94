/** What is most likely not meant in the containers of a pod. */
import { isWhole } from '../../quantities.ts'
import type { Container, ContainerPort, PodSpec } from '../../types.gen.ts'

interface Placed {
  readonly container: Container
  /** `spec.initContainers[0]` */
  readonly at: string
}

/** In the order in which they are looked at, ephemeral ones too. */
export const containersOf = (spec: PodSpec, path: string): readonly Placed[] =>
  (['initContainers', 'containers', 'ephemeralContainers'] as const).flatMap((field) =>
    ((spec[field] ?? []) as readonly Container[]).map((container, i) => ({
      container,
      at: `${path}.${field}[${i}]`,
    })),
  )

export function containerWarnings(
  { env = [], resources }: Container,
  path: string,
): readonly string[] {
  const warnings: string[] = []
  for (const name of ['memory', 'ephemeral-storage'])
    for (const part of ['limits', 'requests'] as const) {
      const quantity = resources?.[part]?.[name]
      if (quantity !== undefined && !isWhole(quantity))
        warnings.push(
          `${path}.resources.${part}[${name}]: fractional byte value ${JSON.stringify(quantity)} is invalid, must be an integer`,
        )
    }
  const seen = new Set<string>()
  for (const [i, { name, value = '', valueFrom }] of env.entries()) {
    // A variable that builds on the one of the same name before it is meant.
    const reference = `$(${name})`
    const builds = valueFrom === undefined && value !== reference && value.includes(reference)
    if (seen.has(name) && !builds)
      warnings.push(
        `${path}.env[${i}]: hides previous definition of ${JSON.stringify(name)}, which may be dropped when using apply`,
      )
    seen.add(name)
  }
  return warnings
}

interface PlacedPort extends Pick<ContainerPort, 'hostPort' | 'hostIP'> {
  readonly at: string
}

/** Containers of a pod share their addresses: the same port twice is one port. */
export function portWarnings(spec: PodSpec, path: string): readonly string[] {
  const warnings: string[] = []
  const known = new Map<string, PlacedPort[]>()
  const names = new Map<string, string>()
  for (const { container, at: owner } of containersOf(spec, path))
    for (const [i, port] of (container.ports ?? []).entries()) {
      const { containerPort, protocol = 'TCP', hostPort = 0, hostIP = '', name = '' } = port
      const at = `${owner}.ports[${i}]`
      if (hostIP !== '' && hostPort === 0)
        warnings.push(
          `${at}: hostIP set without hostPort: {Name:${name} HostPort:0 ContainerPort:${containerPort} Protocol:${protocol} HostIP:${hostIP}}`,
        )
      const first = names.get(name)
      if (first !== undefined)
        warnings.push(
          `${at}.name: duplicate port name ${JSON.stringify(name)} with ${first}, services and probes that select ports by name will use ${first}`,
        )
      else if (name !== '') names.set(name, `${at}.name`)
      const key = `${containerPort}/${protocol}`
      const others = known.get(key) ?? []
      for (const other of others) {
        const how = likeness({ hostPort, hostIP }, other)
        if (how !== undefined) warnings.push(`${at}: ${how} port definition with ${other.at}`)
      }
      known.set(key, [...others, { hostPort, hostIP, at }])
    }
  return warnings
}

type HostPort = Pick<PlacedPort, 'hostPort' | 'hostIP'>

function likeness(a: HostPort, b: HostPort): string | undefined {
  if (a.hostIP === b.hostIP && a.hostPort === b.hostPort) return 'duplicate'
  if (a.hostPort === 0 || b.hostPort === 0) return 'overlapping'
  const oneIsOpen = (a.hostIP === '') !== (b.hostIP === '')
  return a.hostPort === b.hostPort && oneIsOpen ? 'dangerously ambiguous' : undefined
}
