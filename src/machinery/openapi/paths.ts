/** The paths of a group version, before they are written in a dialect of OpenAPI. */
import type { ResourceFact, TypeTable } from '../facts.ts'
import {
  META,
  basePath,
  operationPrefix,
  readPath,
  tagOf,
  type ApiPath,
  type PathOptions,
} from './path.ts'
import { mainPaths } from './resource-paths.ts'
import { subresourcePaths } from './subresource-paths.ts'

/** Everything that can be done with the resources of one group version, sorted by path. */
export function resourcePaths(
  types: TypeTable,
  resources: readonly ResourceFact[],
  options: PathOptions,
): readonly ApiPath[] {
  return resources
    .flatMap((resource) => [
      ...mainPaths(resource, options),
      ...(resource.subresources ?? []).flatMap((each) =>
        subresourcePaths(types, resource, each, options),
      ),
    ])
    .filter(({ operations }) => operations.length > 0)
    .toSorted((a, b) => (a.path < b.path ? -1 : 1))
}

/** The list of a group version's resources: `/apis/apps/v1/`. */
export function resourceListPath(group: string, version: string): ApiPath {
  return readPath(`${basePath(group, version)}/`, {
    id: `get${operationPrefix(group, version)}APIResources`,
    tag: tagOf(group, version),
    description: 'the resources of this version',
    answer: `${META}APIResourceList`,
  })
}

/** The versions of a group: `/apis/apps/`. */
export function groupPath(group: string): ApiPath {
  const core = group === ''
  return readPath(core ? '/api/' : `/apis/${group}/`, {
    id: `get${operationPrefix(group, '')}API${core ? 'Versions' : 'Group'}`,
    tag: core ? 'core' : tagOf(group, '').slice(0, -1),
    description: core ? 'the versions of the core group' : 'the versions of this group',
    answer: META + (core ? 'APIVersions' : 'APIGroup'),
  })
}
