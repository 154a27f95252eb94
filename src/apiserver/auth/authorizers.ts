/** The chain of authorizers: the first that has an opinion decides. */
import { follow, type Awaitable } from '#base'
import type { Attributes, Authorizer, Decision } from '../access.ts'
import { MASTERS } from './users.ts'

/** Members of `system:masters` may do everything, whatever the roles say. */
export const mastersAuthorizer: Authorizer = {
  authorize: ({ user }) => (user.groups.includes(MASTERS) ? ALLOWED : NO_OPINION),
  // The binding of cluster-admin, which every cluster has, says the same: reviews name it once.
  rules: async () => ({ resourceRules: [], nonResourceRules: [], incomplete: false }),
}

const ALLOWED: Decision = { verdict: 'allow', reason: '' }
const NO_OPINION: Decision = { verdict: 'noOpinion', reason: '' }

/** Asks those from a place in the chain on; mostly none has to wait. */
function ask(
  kinds: readonly Authorizer[],
  attributes: Attributes,
  from: number,
  reasons: readonly string[],
): Awaitable<Decision> {
  const kind = kinds[from]
  if (kind === undefined) return { verdict: 'noOpinion', reason: reasons.join('\n') }
  return follow(kind.authorize(attributes), (decision) => {
    if (decision.verdict !== 'noOpinion') return decision
    const { reason } = decision
    return ask(kinds, attributes, from + 1, reason === '' ? reasons : [...reasons, reason])
  })
}

export const unionAuthorizer = (kinds: readonly Authorizer[]): Authorizer => ({
  authorize: (attributes) => ask(kinds, attributes, 0, []),
  async rules(user, namespace) {
    const found = await Promise.all(kinds.map(async (kind) => kind.rules?.(user, namespace)))
    return {
      resourceRules: found.flatMap((rules) => rules?.resourceRules ?? []),
      nonResourceRules: found.flatMap((rules) => rules?.nonResourceRules ?? []),
      incomplete: found.some((rules) => rules === undefined || rules.incomplete),
    }
  },
})
