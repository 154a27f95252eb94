/** The chain of authorizers as one, made anew when its links change. */
import { follow, type Counter, type Metrics } from '#base'
import type { Authorizer, Decision } from '../../access.ts'
import { mastersAuthorizer, unionAuthorizer } from '../authorizers.ts'
import type { Link } from './index.ts'

/** @param own the authorizers that read the server's objects */
export function chainAuthorizer(
  links: () => readonly Link[],
  own: { readonly Node: Authorizer; readonly RBAC: Authorizer },
  metrics: Metrics,
): Authorizer {
  const decisions = metrics.counter({
    name: 'apiserver_authorization_decisions_total',
    help: 'Requests that an authorizer allowed or denied.',
    labels: ['type', 'name', 'decision'],
  })
  const counted = ({ type, name, authorizer: given }: Link): Authorizer => {
    const authorizer = given ?? (type === 'Node' ? own.Node : own.RBAC)
    const counts: { allow?: Counter; deny?: Counter } = {}
    const count = (decision: Decision): Decision => {
      const { verdict } = decision
      if (verdict !== 'noOpinion') {
        const word = verdict === 'allow' ? 'allowed' : 'denied'
        ;(counts[verdict] ??= decisions.with(type, name, word)).add()
      }
      return decision
    }
    return {
      ...authorizer,
      authorize: (attributes) => follow(authorizer.authorize(attributes), count),
    }
  }
  let madeOf: readonly Link[] | undefined
  let made: Authorizer = mastersAuthorizer
  const current = (): Authorizer => {
    const now = links()
    if (now !== madeOf) {
      madeOf = now
      made = unionAuthorizer([mastersAuthorizer, ...now.map(counted)])
    }
    return made
  }
  return {
    authorize: (attributes) => current().authorize(attributes),
    rules: (user, namespace) =>
      current().rules?.(user, namespace) ??
      Promise.resolve({ resourceRules: [], nonResourceRules: [], incomplete: true }),
  }
}
