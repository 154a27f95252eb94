/** Service accounts. */
import { FieldPath, required } from '#machinery'
import { defineResource } from '../define.ts'
import { serviceAccounts as accountsRef } from '../resources.gen.ts'

export const serviceAccounts = defineResource(accountsRef, {
  validate: ({ imagePullSecrets = [] }) =>
    imagePullSecrets.flatMap(({ name = '' }, i) =>
      name === '' ? [required(FieldPath.of('imagePullSecrets').index(i).child('name'))] : [],
    ),
  warnings: ({ metadata }) =>
    metadata.annotations?.['kubernetes.io/enforce-mountable-secrets'] === undefined
      ? []
      : [
          'metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets',
        ],
})
