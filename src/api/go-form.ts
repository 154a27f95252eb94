/**
 * Values as Kubernetes prints them in its messages: it validates internal types, which have no JSON
 * names, so that a struct is shown with the names of its Go fields and with all of them.
 */
import { goJson, unifiedDiff, type FieldFact, type SchemaFact } from '#machinery'
import { typeTable } from './facts.ts'

/** Types that are one text, and not fields. */
const PLAIN = /\.(?:Quantity|IntOrString|Time|MicroTime|RawExtension|JSON)$/
const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.'

/** How two objects of a type differ, by the lines of their form. */
export const formDiff = (type: string, before: unknown, after: unknown): string =>
  unifiedDiff(formText(type, before), formText(type, after))
const formText = (type: string, value: unknown): string =>
  goJson(JSON.stringify(goForm(type, value), null, 1))

/** An object of the type `core.v1.Taint` in the form of Go. */
export const goForm = (type: string, value: unknown): unknown =>
  formOf({ ref: `io.k8s.api.${type}` }, value)

function formOf(schema: SchemaFact, value: unknown): unknown {
  const { ref, items, values } = schema
  if (ref !== undefined) {
    const fields = typeTable[ref]?.fields
    if (fields === undefined || PLAIN.test(ref) || ref.startsWith(META)) return value
    const object = (value ?? {}) as Readonly<Record<string, unknown>>
    const form = Object.fromEntries(
      fields.flatMap((field): readonly (readonly [string, unknown])[] => {
        const given = object[field.name]
        // Metadata is part of its object, and has names for JSON.
        if (field.go === 'ObjectMeta')
          return Object.entries(given ?? {}).map(([name, each]) => [name, sorted(each)])
        return [[field.go, given === undefined ? zeroOf(field) : formOf(field, given)]]
      }),
    )
    return ref === POD_SPEC ? internalPodSpec(form) : form
  }
  // What was not there came to be an empty list.
  if (items !== undefined && Array.isArray(value))
    return value.length === 0 ? null : value.map((each) => formOf(items, each))
  if (values !== undefined && typeof value === 'object' && value !== null)
    return Object.fromEntries(
      Object.entries(sorted(value) as object).map(([key, each]) => [key, formOf(values, each)]),
    )
  return value
}

/** Maps have their keys in order. */
const sorted = (value: unknown): unknown =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
    : value

const POD_SPEC = 'io.k8s.api.core.v1.PodSpec'
/** The internal form of a pod's spec has another order, and what is of the host in another place. */
const POD_ORDER =
  'Volumes InitContainers Containers EphemeralContainers RestartPolicy TerminationGracePeriodSeconds ActiveDeadlineSeconds DNSPolicy NodeSelector ServiceAccountName AutomountServiceAccountToken NodeName SecurityContext ImagePullSecrets Hostname Subdomain SetHostnameAsFQDN Affinity SchedulerName Tolerations HostAliases PriorityClassName Priority PreemptionPolicy DNSConfig ReadinessGates RuntimeClassName Overhead EnableServiceLinks TopologySpreadConstraints OS SchedulingGates ResourceClaims Resources HostnameOverride SchedulingGroup'.split(
    ' ',
  )
const HOST_ORDER = ['HostNetwork', 'HostPID', 'HostIPC', 'ShareProcessNamespace', 'HostUsers']
const SECURITY_ORDER =
  'SELinuxOptions WindowsOptions RunAsUser RunAsGroup RunAsNonRoot SupplementalGroups SupplementalGroupsPolicy FSGroup FSGroupChangePolicy Sysctls SeccompProfile AppArmorProfile SELinuxChangePolicy'.split(
    ' ',
  )

function internalPodSpec(form: Readonly<Record<string, unknown>>): unknown {
  const security = (form['SecurityContext'] ?? {}) as Readonly<Record<string, unknown>>
  const context = Object.fromEntries([
    ...HOST_ORDER.map((name) => [name, form[name] ?? null]),
    ...SECURITY_ORDER.map((name) => [name, security[name] ?? null]),
  ])
  return Object.fromEntries(
    POD_ORDER.map((name) => [name, name === 'SecurityContext' ? context : (form[name] ?? null)]),
  )
}

function zeroOf(field: FieldFact): unknown {
  if (field.ptr === true || field.type === 'array' || field.type === 'object') return null
  if (field.ref === undefined) return scalarZero(field.type)
  if (/\.(?:Time|MicroTime|RawExtension|JSON)$/.test(field.ref)) return null
  if (field.ref.endsWith('.Quantity')) return '0'
  if (field.ref.endsWith('.IntOrString')) return 0
  const { fields, scalar } = typeTable[field.ref] ?? {}
  if (fields !== undefined) return formOf({ ref: field.ref }, {})
  return scalar === undefined ? null : scalarZero(scalar.type)
}

const scalarZero = (type: string | undefined): unknown =>
  type === 'string' ? '' : type === 'boolean' ? false : 0
