/** Service accounts. */
import { defineResource } from '../define.ts'
import { serviceAccounts as accountsRef } from '../resources.gen.ts'

export const serviceAccounts = defineResource(accountsRef, {
  warnings: ({ metadata }) =>
    metadata.annotations?.['kubernetes.io/enforce-mountable-secrets'] === undefined
      ? []
      : [
          'metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets',
        ],
})
