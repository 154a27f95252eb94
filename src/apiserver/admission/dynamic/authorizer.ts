/** The authorizer as expressions ask it. What was answered once in a request is remembered for it. */
import type { CelAuthorizer, CelAuthorizerAttributes, CelDecision } from '#cel'
import type { Attributes, Authorizer } from '../../access.ts'
import type { AdmissionRequest } from '../../admission.ts'
import { namespaceOf } from './view.ts'

export function celAuthorizer(authorizer: Authorizer, { user }: AdmissionRequest): CelAuthorizer {
  const known = new Map<string, CelDecision>()
  const ask = async (asked: CelAuthorizerAttributes): Promise<CelDecision> => {
    try {
      const { verdict, reason } = await authorizer.authorize(attributesOf(asked, user))
      return { allowed: verdict === 'allow', reason }
    } catch (error) {
      return { allowed: false, reason: '', error: String(error) }
    }
  }
  return {
    check(asked) {
      const key = JSON.stringify(asked)
      return (
        known.get(key) ??
        ask(asked).then((decision) => {
          known.set(key, decision)
          return decision
        })
      )
    },
  }
}

/** What `authorizer.requestResource` is about. */
export const requestResource = (
  request: AdmissionRequest,
): Omit<CelAuthorizerAttributes, 'verb'> => ({
  group: request.definition.facts.group,
  resource: request.definition.facts.resource,
  subresource: request.subresource,
  namespace: namespaceOf(request),
  name: request.name,
})

function attributesOf(
  { path, serviceAccount, ...asked }: CelAuthorizerAttributes,
  user: AdmissionRequest['user'],
): Attributes {
  const as =
    serviceAccount === undefined
      ? user
      : {
          name: `system:serviceaccount:${serviceAccount.namespace}:${serviceAccount.name}`,
          groups: [
            'system:serviceaccounts',
            `system:serviceaccounts:${serviceAccount.namespace}`,
            'system:authenticated',
          ],
        }
  return { ...asked, user: as, version: '*', isResource: path === undefined, path: path ?? '' }
}
