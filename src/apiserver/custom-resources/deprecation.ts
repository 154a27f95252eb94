/** What clients of a version that is on its way out are told with every answer. */
import type { CustomResourceDefinition } from '#api'
import { compareVersions } from '../versions.ts'

type Version = CustomResourceDefinition['spec']['versions'][number]

export function deprecationOf(
  { spec }: CustomResourceDefinition,
  { name, deprecated = false, deprecationWarning }: Version,
): { readonly deprecation?: string } {
  if (!deprecated) return {}
  if (deprecationWarning !== undefined) return { deprecation: deprecationWarning }
  const { group, names, versions } = spec
  const newer = versions
    .filter((each) => each.served && each.deprecated !== true)
    .map((each) => each.name)
    .filter((each) => compareVersions(each, name) < 0)
    .toSorted(compareVersions)
  const instead = newer.length === 0 ? '' : `; use ${group}/${newer[0]} ${names.kind}`
  return { deprecation: `${group}/${name} ${names.kind} is deprecated${instead}` }
}
