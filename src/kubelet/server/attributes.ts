/** What a request to the kubelet means to an authorizer: a verb and a part of this node. */

export interface NodeAttributes {
  /** Empty for methods that have no verb: only those who may do everything may use them. */
  readonly verb: string
  /** Any one of them is enough, the narrowest first (KEP-2862). */
  readonly subresources: readonly string[]
}

const VERBS: Readonly<Record<string, string>> = {
  POST: 'create',
  GET: 'get',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
}

/** Pages that may be granted alone, beside all that `nodes/proxy` grants. */
const FINE: readonly (readonly [folder: string, subresource: string])[] = [
  ['/pods', 'pods'],
  ['/healthz', 'healthz'],
  ['/configz', 'configz'],
  ['/runningpods', 'pods'],
]
/** These never were part of `nodes/proxy`. */
const APART: readonly (readonly [folder: string, subresource: string])[] = [
  ['/stats', 'stats'],
  ['/metrics', 'metrics'],
  ['/logs', 'log'],
  ['/checkpoint', 'checkpoint'],
]

export function nodeAttributes(method: string, path: string): NodeAttributes {
  const within = ([folder]: readonly [string, string]): boolean =>
    path === folder || path.startsWith(`${folder}/`)
  const fine = FINE.filter(within).map(([, subresource]) => subresource)
  const apart = APART.find(within)?.[1] ?? 'proxy'
  return { verb: VERBS[method] ?? '', subresources: [...fine, apart] }
}
