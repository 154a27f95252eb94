/** What a rule of a role allows, and whether some rules contain others. */
import type { PolicyRule } from '#api'
import type { Attributes } from '../../access.ts'

/** Whether the rule allows the request. */
export function ruleAllows(rule: PolicyRule, attributes: Attributes): boolean {
  if (!includesOrAll(rule.verbs, attributes.verb)) return false
  if (!attributes.isResource) return coversPath(rule.nonResourceURLs, attributes.path)
  return (
    includesOrAll(rule.apiGroups, attributes.group) &&
    coversResource(rule.resources, attributes.resource, attributes.subresource) &&
    coversName(rule.resourceNames, attributes.name)
  )
}

const includesOrAll = (list: readonly string[] | undefined, wanted: string): boolean =>
  list !== undefined && (list.includes(wanted) || list.includes('*'))

function coversResource(
  resources: readonly string[] | undefined,
  resource: string,
  subresource: string,
): boolean {
  if (resources === undefined) return false
  if (resources.includes('*')) return true
  if (subresource === '') return resources.includes(resource)
  return resources.includes(`${resource}/${subresource}`) || resources.includes(`*/${subresource}`)
}

const coversName = (names: readonly string[] | undefined, name: string): boolean =>
  names === undefined || names.length === 0 || names.includes(name)

function coversPath(patterns: readonly string[] | undefined, path: string): boolean {
  return (
    patterns?.some(
      (pattern) =>
        pattern === '*' ||
        pattern === path ||
        (pattern.endsWith('*') && path.startsWith(pattern.slice(0, -1).replace(/\*+$/, ''))),
    ) ?? false
  )
}

/** Rules with one verb, group, resource and name each: what can be compared. */
function* atoms(rule: PolicyRule): Iterable<PolicyRule> {
  const names = rule.resourceNames?.length ? rule.resourceNames : [undefined]
  for (const verb of rule.verbs) {
    for (const group of rule.apiGroups ?? [])
      for (const resource of rule.resources ?? [])
        for (const name of names)
          yield {
            apiGroups: [group],
            resources: [resource],
            ...(name === undefined ? {} : { resourceNames: [name] }),
            verbs: [verb],
          }
    for (const url of rule.nonResourceURLs ?? []) yield { nonResourceURLs: [url], verbs: [verb] }
  }
}

function ruleCovers(owner: PolicyRule, atom: PolicyRule): boolean {
  const all = (list: readonly string[] | undefined, wanted: readonly string[] = []): boolean =>
    wanted.every((item) => includesOrAll(list, item))
  if (!all(owner.verbs, atom.verbs)) return false
  if (atom.nonResourceURLs !== undefined)
    return atom.nonResourceURLs.every((url) => coversPath(owner.nonResourceURLs, url))
  const [resource = ''] = atom.resources ?? []
  const slash = resource.indexOf('/')
  return (
    all(owner.apiGroups, atom.apiGroups) &&
    (slash < 0
      ? coversResource(owner.resources, resource, '')
      : coversResource(owner.resources, resource.slice(0, slash), resource.slice(slash + 1))) &&
    (!owner.resourceNames?.length ||
      (atom.resourceNames?.every((name) => owner.resourceNames?.includes(name)) ?? false))
  )
}

/** Those of `wanted`, taken apart, that `held` does not contain. */
export function missingRules(
  held: readonly PolicyRule[],
  wanted: readonly PolicyRule[],
): readonly PolicyRule[] {
  const missing: PolicyRule[] = []
  for (const rule of wanted)
    for (const atom of atoms(rule))
      if (!held.some((owner) => ruleCovers(owner, atom))) missing.push(atom)
  return missing
}

/** Atoms put together again where they differ in verbs only, in a stable order: for messages and for reconciling. */
export function compact(rules: readonly PolicyRule[]): readonly PolicyRule[] {
  const byTarget = new Map<string, PolicyRule & { verbs: string[] }>()
  for (const rule of rules) {
    const key = JSON.stringify([
      rule.apiGroups,
      rule.resources,
      rule.nonResourceURLs,
      rule.resourceNames,
    ])
    const known = byTarget.get(key)
    if (known === undefined) byTarget.set(key, { ...rule, verbs: [...rule.verbs] })
    else known.verbs.push(...rule.verbs.filter((verb) => !known.verbs.includes(verb)))
  }
  return [...byTarget.values()]
}

/** `{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}` */
export function showRule(rule: PolicyRule): string {
  const part = (name: string, list: readonly string[] | undefined): readonly string[] =>
    list?.length ? [`${name}:${showList(list)}`] : []
  return `{${[
    ...part('APIGroups', rule.apiGroups),
    ...part('Resources', rule.resources),
    ...part('NonResourceURLs', rule.nonResourceURLs),
    ...part('ResourceNames', rule.resourceNames),
    ...part('Verbs', rule.verbs),
  ].join(', ')}}`
}

export const showList = (list: readonly string[]): string =>
  `[${list.map((item) => JSON.stringify(item)).join(' ')}]`
