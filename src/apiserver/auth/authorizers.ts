/** The chain of authorizers: the first that has an opinion decides. */
import type { Authorizer } from '../access.ts'
import { MASTERS } from './users.ts'

/** Members of `system:masters` may do everything, whatever the roles say. */
export const mastersAuthorizer: Authorizer = {
  authorize: async ({ user }) =>
    user.groups.includes(MASTERS)
      ? { verdict: 'allow', reason: '' }
      : { verdict: 'noOpinion', reason: '' },
  // The binding of cluster-admin, which every cluster has, says the same: reviews name it once.
  rules: async () => ({ resourceRules: [], nonResourceRules: [], incomplete: false }),
}

export const unionAuthorizer = (kinds: readonly Authorizer[]): Authorizer => ({
  async authorize(attributes) {
    const reasons: string[] = []
    for (const kind of kinds) {
      const decision = await kind.authorize(attributes)
      if (decision.verdict !== 'noOpinion') return decision
      if (decision.reason !== '') reasons.push(decision.reason)
    }
    return { verdict: 'noOpinion', reason: reasons.join('\n') }
  },
  async rules(user, namespace) {
    const found = await Promise.all(kinds.map(async (kind) => kind.rules?.(user, namespace)))
    return {
      resourceRules: found.flatMap((rules) => rules?.resourceRules ?? []),
      nonResourceRules: found.flatMap((rules) => rules?.nonResourceRules ?? []),
      incomplete: found.some((rules) => rules === undefined || rules.incomplete),
    }
  },
})
