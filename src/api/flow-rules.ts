/** What the rules of a FlowSchema may say: words that requests have, and wildcards alone. */
import {
  forbiddenField,
  invalidValue,
  notSupported,
  type FieldError,
  type FieldPath,
} from '#machinery'
import { check, dnsLabel } from './rules.ts'
import type { PolicyRulesWithSubjects } from './types.gen.ts'

const VERBS = [
  'create',
  'delete',
  'deletecollection',
  'get',
  'list',
  'patch',
  'proxy',
  'update',
  'watch',
]
const METHODS = ['connect', 'delete', 'get', 'head', 'options', 'patch', 'post', 'put', 'trace']

export function validateFlowRule(
  { subjects, resourceRules = [], nonResourceRules = [] }: PolicyRulesWithSubjects,
  path: FieldPath,
): readonly FieldError[] {
  return [
    ...subjects.flatMap((subject, i) => {
      const at = path.child('subjects').index(i)
      return Object.entries({ user: 'User', group: 'Group', serviceAccount: 'ServiceAccount' })
        .filter(([field, kind]) => field in subject && subject.kind !== kind)
        .map(([field, kind]) =>
          forbiddenField(
            at.child(field),
            `${field} is forbidden when subject kind is not '${kind}'`,
          ),
        )
    }),
    ...resourceRules.flatMap(({ verbs, apiGroups, resources, namespaces = [] }, i) => {
      const at = path.child('resourceRules').index(i)
      return [
        ...wordsOf(verbs, 'verbs', VERBS, at.child('verbs')),
        ...alone(apiGroups, 'api groups', at.child('apiGroups')),
        ...alone(resources, 'resources', at.child('resources')),
        ...alone(namespaces, 'namespaces', at.child('namespaces')),
        ...namespaces.flatMap((name, j) =>
          name === '*' ? [] : check(at.child('namespaces').index(j), name, dnsLabel),
        ),
      ]
    }),
    ...nonResourceRules.flatMap(({ verbs, nonResourceURLs }, i) => {
      const at = path.child('nonResourceRules').index(i)
      const urls = at.child('nonResourceURLs')
      return [
        ...wordsOf(verbs, 'verbs', METHODS, at.child('verbs')),
        ...alone(nonResourceURLs, 'non-resource URLs', urls),
        ...nonResourceURLs.flatMap((url, j) =>
          url === '*' ? [] : check(urls.index(j), url, urlPath),
        ),
      ]
    }),
  ]
}

/** A wildcard stands for everything, and by itself. */
const alone = (values: readonly string[], what: string, path: FieldPath): readonly FieldError[] =>
  values.length > 1 && values.includes('*')
    ? [invalidValue(path, values, `if '*' is present, must not specify other ${what}`)]
    : []

function wordsOf(
  values: readonly string[],
  what: string,
  known: readonly string[],
  path: FieldPath,
): readonly FieldError[] {
  if (values.includes('*')) return alone(values, what, path)
  return values.every((value) => known.includes(value)) ? [] : [notSupported(path, values, known)]
}

function urlPath(path: string): readonly string[] {
  if (path === '') return ['must not be empty']
  if (path === '/') return []
  const wildcards = path.split('*').length - 1
  return [
    ...(path.startsWith('/') ? [] : ['must start with slash']),
    ...(path.includes(' ') ? ['must not contain white-space'] : []),
    ...(path.includes('//') ? ['must not contain double slash'] : []),
    ...(wildcards > 1 || (wildcards === 1 && !path.endsWith('/*'))
      ? ['wildcard can only do suffix matching']
      : []),
  ].slice(0, 1)
}
