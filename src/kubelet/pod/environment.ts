/** The environment of a container: what it states, what it takes from elsewhere, and the services around it. */
import type { ConfigMap, EnvVar, Pod, Secret, Service } from '#api'
import { type AnyContainer, namespaceOf } from './containers.ts'
import { type DownwardFacts, fieldValue, resourceValue } from './downward.ts'
import { expand } from './expand.ts'

/** Objects by name, in the pod's namespace; undefined when absent. */
export interface Sources {
  readonly configMaps: ReadonlyMap<string, ConfigMap | undefined>
  readonly secrets: ReadonlyMap<string, Secret | undefined>
}

export interface EnvironmentInput {
  readonly pod: Pod
  readonly container: AnyContainer
  readonly sources: Sources
  readonly downward: DownwardFacts
  /** Services of the cluster; those of the pod's namespace and the API's count. */
  readonly services: readonly Service[]
}

export interface Environment {
  readonly variables: ReadonlyMap<string, string>
  /** Keys of envFrom sources that cannot be variables: they are left out, and an event says so. */
  readonly skipped: readonly { readonly source: string; readonly keys: readonly string[] }[]
}

/** Something a container needs is not there: it waits with CreateContainerConfigError. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

export function environmentOf(input: EnvironmentInput): Environment {
  const { pod, container } = input
  const services = serviceVariables(pod, input.services)
  const result = new Map<string, string>()
  const skipped: { source: string; keys: string[] }[] = []
  for (const { prefix = '', configMapRef, secretRef } of container.envFrom ?? []) {
    const entries =
      configMapRef !== undefined
        ? configMapEntries(input, configMapRef)
        : secretEntries(input, secretRef ?? {})
    const invalid: string[] = []
    for (const [key, value] of entries) {
      const name = `${prefix}${key}`
      if (isVariableName(name)) result.set(name, value)
      else invalid.push(name)
    }
    if (invalid.length > 0) {
      const kind = configMapRef === undefined ? 'secret' : 'configMap'
      const name = configMapRef?.name ?? secretRef?.name ?? ''
      skipped.push({
        source: `${kind}:${namespaceOf(pod)}/${name}`,
        keys: invalid.toSorted(),
      })
    }
  }
  for (const variable of container.env ?? []) {
    const value = valueOf(input, variable, (name) => result.get(name) ?? services.get(name))
    if (value !== undefined) result.set(variable.name, value)
  }
  // What the container states itself goes before what services would set.
  for (const [name, value] of services) if (!result.has(name)) result.set(name, value)
  return { variables: result, skipped }
}

/** As the relaxed rule of the API has it: printable, and no `=`. */
const isVariableName = (name: string): boolean => /^[\x20-\x3c\x3e-\x7e]+$/.test(name)

function valueOf(
  input: EnvironmentInput,
  { value, valueFrom }: EnvVar,
  known: (name: string) => string | undefined,
): string | undefined {
  if (valueFrom === undefined) return expand(value ?? '', known)
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = valueFrom
  const { pod, container, downward } = input
  if (fieldRef !== undefined) return fieldValue(pod, fieldRef.fieldPath, downward)
  if (resourceFieldRef !== undefined) {
    return resourceValue(
      pod,
      resourceFieldRef.containerName || container.name,
      resourceFieldRef,
      downward,
    )
  }
  if (configMapKeyRef !== undefined) {
    const { name = '', key, optional = false } = configMapKeyRef
    const map = input.sources.configMaps.get(name)
    const found = map?.data?.[key]
    if (found !== undefined || optional) return found
    if (map === undefined) throw new ConfigError(`configmap "${name}" not found`)
    throw new ConfigError(`couldn't find key ${key} in ConfigMap ${namespaceOf(pod)}/${name}`)
  }
  if (secretKeyRef !== undefined) {
    const { name = '', key, optional = false } = secretKeyRef
    const secret = input.sources.secrets.get(name)
    const found = secret?.data?.[key]
    if (found !== undefined) return decode(found)
    if (optional) return undefined
    if (secret === undefined) throw new ConfigError(`secret "${name}" not found`)
    throw new ConfigError(`couldn't find key ${key} in Secret ${namespaceOf(pod)}/${name}`)
  }
  return ''
}

const decode = (base64: string): string => Buffer.from(base64, 'base64').toString('utf8')

function configMapEntries(
  { sources }: EnvironmentInput,
  { name = '', optional = false }: { readonly name?: string; readonly optional?: boolean },
): readonly (readonly [string, string])[] {
  const map = sources.configMaps.get(name)
  if (map === undefined && !optional) throw new ConfigError(`configmap "${name}" not found`)
  return Object.entries(map?.data ?? {})
}

function secretEntries(
  { sources }: EnvironmentInput,
  { name = '', optional = false }: { readonly name?: string; readonly optional?: boolean },
): readonly (readonly [string, string])[] {
  const secret = sources.secrets.get(name)
  if (secret === undefined && !optional) throw new ConfigError(`secret "${name}" not found`)
  return Object.entries(secret?.data ?? {}).map(([key, value]) => [key, decode(value)])
}

/** Names of the objects that a pod's environments need. */
export function environmentSources(pod: Pod): {
  readonly configMaps: readonly string[]
  readonly secrets: readonly string[]
} {
  const configMaps = new Set<string>()
  const secrets = new Set<string>()
  const { containers, initContainers = [], ephemeralContainers = [] } = pod.spec
  for (const { env = [], envFrom = [] } of [
    ...initContainers,
    ...containers,
    ...ephemeralContainers,
  ]) {
    for (const { configMapRef, secretRef } of envFrom) {
      if (configMapRef?.name !== undefined) configMaps.add(configMapRef.name)
      if (secretRef?.name !== undefined) secrets.add(secretRef.name)
    }
    for (const { valueFrom } of env) {
      if (valueFrom?.configMapKeyRef?.name !== undefined) {
        configMaps.add(valueFrom.configMapKeyRef.name)
      }
      if (valueFrom?.secretKeyRef?.name !== undefined) secrets.add(valueFrom.secretKeyRef.name)
    }
  }
  return { configMaps: [...configMaps], secrets: [...secrets] }
}

/** `WEB_SERVICE_HOST` and its kin, for every service with an address that the pod's namespace has; the API's always. */
export function serviceVariables(pod: Pod, services: readonly Service[]): Map<string, string> {
  const chosen = new Map<string, Service>()
  const namespace = namespaceOf(pod)
  for (const service of services) {
    const { clusterIP = '' } = service.spec ?? {}
    if (clusterIP === '' || clusterIP === 'None') continue
    const { name } = service.metadata
    const own = service.metadata.namespace === namespace && pod.spec.enableServiceLinks !== false
    const api = service.metadata.namespace === 'default' && name === 'kubernetes'
    // The namespace's own `kubernetes` goes before the API's.
    if (own || (api && !chosen.has(name))) chosen.set(name, service)
  }
  const variables = new Map<string, string>()
  for (const name of [...chosen.keys()].toSorted()) {
    const service = chosen.get(name)
    if (service !== undefined) addService(variables, service)
  }
  return variables
}

function addService(variables: Map<string, string>, { metadata, spec }: Service): void {
  const prefix = variableForm(metadata.name)
  const host = spec?.clusterIP ?? ''
  const ports = spec?.ports ?? []
  const [first] = ports
  variables.set(`${prefix}_SERVICE_HOST`, host)
  if (first === undefined) return
  variables.set(`${prefix}_SERVICE_PORT`, String(first.port))
  for (const { name, port } of ports) {
    if (name) variables.set(`${prefix}_SERVICE_PORT_${variableForm(name)}`, String(port))
  }
  const address = host.includes(':') ? `[${host}]` : host
  for (const [index, { protocol = 'TCP', port }] of ports.entries()) {
    const lower = protocol.toLowerCase()
    const url = `${lower}://${address}:${port}`
    if (index === 0) variables.set(`${prefix}_PORT`, url)
    const portPrefix = `${prefix}_PORT_${port}_${protocol}`
    variables.set(portPrefix, url)
    variables.set(`${portPrefix}_PROTO`, lower)
    variables.set(`${portPrefix}_PORT`, String(port))
    variables.set(`${portPrefix}_ADDR`, host)
  }
}

const variableForm = (name: string): string => name.toUpperCase().replaceAll('-', '_')
