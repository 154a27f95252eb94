/** What the server has: legacy discovery, one document a group version, and aggregated discovery (KEP-3352). */
import { createHash } from 'node:crypto'
import { apiVersionOf, type JsonObject, type ResourceDefinition } from '#machinery'
import { groupPriority, type RemoteApi } from '../aggregation/index.ts'
import type { Registry } from '../registry.ts'
import { hasHandler, type Extensions } from '../extensions.ts'
import { compareVersions } from '../versions.ts'
import { idOf } from '../writes/index.ts'

export interface GroupOrder {
  readonly group: string
  readonly versions: readonly string[]
  readonly preferred: string
}

export interface Discovery {
  /** `/api` */
  readonly legacy: JsonObject
  /** `/apis` */
  readonly groups: JsonObject
  /** `/apis/GROUP` */
  group(name: string): JsonObject | undefined
  /** `/api/v1`, `/apis/GROUP/VERSION` */
  version(group: string, version: string): JsonObject | undefined
  /** `/api` or `/apis` as one document, with an ETag that names its content. */
  aggregated(
    kind: 'legacy' | 'groups',
    version: 'v2' | 'v2beta1',
  ): {
    readonly value: JsonObject
    readonly etag: string
  }
  /** Every group version that has resources. */
  readonly groupVersions: readonly { readonly group: string; readonly version: string }[]
}

interface Version {
  readonly version: string
  readonly definitions: readonly ResourceDefinition[]
  /** Another server has it: what is known of it is remembered. */
  readonly remote?: RemoteApi
}

interface Group {
  readonly name: string
  /** Preferred first. */
  readonly versions: readonly Version[]
}

export function buildDiscovery(
  registry: Registry,
  extensions: Extensions,
  order: readonly GroupOrder[],
  serverAddress: string,
): Discovery {
  const groups = groupsOf(registry, extensions, order)
  const core = groups.find(({ name }) => name === '')
  const named = groups.filter(({ name }) => name !== '')
  const etags = new Map<string, { value: JsonObject; etag: string }>()
  return {
    legacy: {
      kind: 'APIVersions',
      versions: core?.versions.map(({ version }) => version) ?? [],
      serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress }],
    },
    groups: {
      kind: 'APIGroupList',
      apiVersion: 'v1',
      groups: named.map((group) => groupInfo(group)),
    },
    group(name) {
      const found = named.find((group) => group.name === name)
      return found === undefined
        ? undefined
        : { kind: 'APIGroup', apiVersion: 'v1', ...groupInfo(found) }
    },
    version(group, version) {
      const found = groups
        .find(({ name }) => name === group)
        ?.versions.find((each) => each.version === version)
      // Another server's own word is fresher.
      if (found === undefined || found.remote !== undefined) return undefined
      return {
        kind: 'APIResourceList',
        ...(group === '' ? {} : { apiVersion: 'v1' }),
        groupVersion: apiVersionOf({ group, version }),
        resources: found.definitions.flatMap(resourceInfos),
      }
    },
    aggregated(kind, version) {
      const key = `${kind}/${version}`
      let found = etags.get(key)
      if (found === undefined) {
        const list = kind === 'legacy' ? (core === undefined ? [] : [core]) : named
        const value = {
          kind: 'APIGroupDiscoveryList',
          apiVersion: `apidiscovery.k8s.io/${version}`,
          metadata: {},
          items: list.map(groupDiscovery),
        }
        const etag = createHash('sha512').update(JSON.stringify(value)).digest('hex').toUpperCase()
        found = { value, etag: `"${etag}"` }
        etags.set(key, found)
      }
      return found
    },
    groupVersions: groups.flatMap(({ name, versions }) =>
      versions.map(({ version }) => ({ group: name, version })),
    ),
  }
}

function groupsOf(
  registry: Registry,
  extensions: Extensions,
  order: readonly GroupOrder[],
): readonly Group[] {
  const byGroup = new Map<string, Map<string, ResourceDefinition[]>>()
  for (const { definition, collection } of registry) {
    const { group, version } = definition.facts
    if (collection === undefined && !hasHandler(extensions, idOf(definition))) continue
    let versions = byGroup.get(group)
    if (versions === undefined) byGroup.set(group, (versions = new Map()))
    const list = versions.get(version)
    if (list === undefined) versions.set(version, [definition])
    else list.push(definition)
  }
  const remotes = extensions.aggregator?.apis() ?? []
  for (const { group, version } of remotes)
    if (!byGroup.get(group)?.has(version)) {
      const versions = byGroup.get(group) ?? new Map<string, ResourceDefinition[]>()
      byGroup.set(group, versions.set(version, []))
    }
  const rank = rankOf(order, remotes)
  const preferred = new Map(order.map((each) => [each.group, each.preferred]))
  return [...byGroup]
    .toSorted(([a], [b]) => rank(b) - rank(a) || (a < b ? -1 : a > b ? 1 : 0))
    .map(([name, versions]) => ({
      name,
      versions: [...versions]
        .map(([version, definitions]): Version => {
          const remote = remotes.find((each) => each.group === name && each.version === version)
          return {
            version,
            definitions: definitions.toSorted((a, b) =>
              a.facts.resource < b.facts.resource ? -1 : 1,
            ),
            ...(remote === undefined ? {} : { remote }),
          }
        })
        .toSorted((a, b) => {
          const first = preferred.get(name)
          if (a.version === first || b.version === first) return a.version === first ? -1 : 1
          return (
            (b.remote?.versionPriority ?? 0) - (a.remote?.versionPriority ?? 0) ||
            compareVersions(a.version, b.version)
          )
        }),
    }))
}

/** Built-in groups in the order of their priorities, then those of others by theirs, then custom resources. */
function rankOf(
  order: readonly GroupOrder[],
  remotes: readonly RemoteApi[],
): (group: string) => number {
  const places = new Map(order.map(({ group }, i) => [group, i]))
  const given = new Map<string, number>()
  for (const { group, groupPriority: each } of remotes)
    given.set(group, Math.max(each, given.get(group) ?? 0))
  return (group) => {
    const place = places.get(group)
    const priority = given.get(group) ?? (place === undefined ? CUSTOM_PRIORITY : 0)
    if (place === undefined || priority > 0) return priority
    if (group === '' || group === 'apiregistration.k8s.io') return Number.MAX_SAFE_INTEGER - place
    return groupPriority(group) || LEAST_PRIORITY
  }
}
/** What is built in and usually another server's: metrics.k8s.io. */
const LEAST_PRIORITY = 100
const CUSTOM_PRIORITY = 1000

function groupInfo({ name, versions }: Group): JsonObject {
  const infos = versions.map(({ version }) => ({
    groupVersion: apiVersionOf({ group: name, version }),
    version,
  }))
  return { name, versions: infos, preferredVersion: infos[0] }
}

/** Names the form in which objects are stored, so that tools know when to store them again. */
const storageHash = ({ facts, convert }: ResourceDefinition): string => {
  const { group, version } = convert?.stored ?? facts
  return createHash('sha256')
    .update(`${group}/${version}/${facts.kind}`)
    .digest()
    .subarray(0, 8)
    .toString('base64')
}

function resourceInfos(definition: ResourceDefinition): JsonObject[] {
  const { facts } = definition
  const { resource, singular, namespaced, kind, verbs, shortNames = [], categories = [] } = facts
  const main = {
    name: resource,
    singularName: singular,
    namespaced,
    kind,
    verbs,
    ...(shortNames.length > 0 ? { shortNames } : {}),
    ...(categories.length > 0 ? { categories } : {}),
    ...(facts.persisted ? { storageVersionHash: storageHash(definition) } : {}),
  }
  const subresources = (facts.subresources ?? []).map((each) => ({
    name: `${resource}/${each.name}`,
    singularName: '',
    namespaced,
    ...(each.group === undefined ? {} : { group: each.group }),
    ...(each.version === undefined ? {} : { version: each.version }),
    kind: each.kind,
    verbs: each.verbs,
  }))
  return [main, ...subresources]
}

function groupDiscovery({ name, versions }: Group): JsonObject {
  return {
    metadata: name === '' ? {} : { name },
    versions: versions.map(({ version, definitions, remote }) => ({
      version,
      ...(remote === undefined
        ? { resources: definitions.map(resourceDiscovery), freshness: 'Current' }
        : {
            ...(remote.resources.length > 0 ? { resources: remote.resources } : {}),
            freshness: remote.isStale ? 'Stale' : 'Current',
          }),
    })),
  }
}

function resourceDiscovery(definition: ResourceDefinition): JsonObject {
  const { facts } = definition
  const { resource, singular, namespaced, verbs, shortNames = [], categories = [] } = facts
  const subresources = facts.subresources ?? []
  return {
    resource,
    responseKind: { group: facts.group, version: facts.version, kind: facts.kind },
    scope: namespaced ? 'Namespaced' : 'Cluster',
    singularResource: singular,
    verbs,
    ...(shortNames.length > 0 ? { shortNames } : {}),
    ...(categories.length > 0 ? { categories } : {}),
    ...(subresources.length === 0
      ? {}
      : {
          subresources: subresources.map((each) => ({
            subresource: each.name,
            responseKind: {
              group: each.group ?? facts.group,
              version: each.version ?? facts.version,
              kind: each.kind,
            },
            verbs: each.verbs,
          })),
        }),
  }
}
