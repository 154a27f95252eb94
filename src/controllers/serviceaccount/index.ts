import { namespaces, serviceAccounts, type Namespace, type ServiceAccount } from '#api'
import { create, defineController, nothing, watching, type Decision } from '../framework/index.ts'

const DEFAULT = 'default'

export interface Observed {
  readonly namespace: Namespace
  readonly account: ServiceAccount | undefined
}

export function decide({ namespace, account }: Observed): Decision {
  if (account !== undefined || namespace.status?.phase === 'Terminating') return nothing
  return {
    actions: [
      create(serviceAccounts, { metadata: { name: DEFAULT, namespace: namespace.metadata.name } }),
    ],
  }
}

/** Gives every namespace the service account that pods have unless they name another. */
export const serviceAccountController = defineController<Observed>({
  name: 'serviceaccount',
  for: namespaces,
  watches: [
    watching<ServiceAccount>(serviceAccounts, ({ metadata }) =>
      metadata.name === DEFAULT ? [metadata.namespace ?? ''] : [],
    ),
  ],
  observe(cache, key) {
    const namespace = cache.get(namespaces, key)
    return namespace && { namespace, account: cache.get(serviceAccounts, `${key}/${DEFAULT}`) }
  },
  decide,
})
