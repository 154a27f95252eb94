import { secrets, serviceAccounts, type Secret, type ServiceAccount } from '#api'
import {
  defineController,
  nothing,
  remove,
  update,
  watching,
  type Cache,
  type Controller,
  type Decision,
} from '../framework/index.ts'

export interface TokenSecretSettings {
  /** PEM of the cluster's authority, put beside the token. */
  readonly rootCertificate: string
  sign(account: ServiceAccount, secretName: string): Promise<string>
}

const TYPE = 'kubernetes.io/service-account-token'
const ACCOUNT_NAME = 'kubernetes.io/service-account.name'
const ACCOUNT_UID = 'kubernetes.io/service-account.uid'

export interface Observed {
  readonly secret: Secret
  readonly account: ServiceAccount | undefined
}

const base64 = (text: string): string => Buffer.from(text, 'utf8').toString('base64')

/** A token for a Secret whose account is there; a Secret whose account is gone, or is another one now, goes. */
export const decide =
  ({ rootCertificate, sign }: TokenSecretSettings) =>
  async ({ secret, account }: Observed): Promise<Decision> => {
    const { annotations = {}, name, namespace = '', deletionTimestamp } = secret.metadata
    if (secret.type !== TYPE || deletionTimestamp !== undefined) return nothing
    const uid = annotations[ACCOUNT_UID] ?? ''
    if (account === undefined || (uid !== '' && uid !== account.metadata.uid))
      return { actions: [remove(secrets, secret)] }
    const wanted = {
      'ca.crt': base64(rootCertificate),
      namespace: base64(namespace),
      token: secret.data?.['token'] ?? '',
    }
    const isComplete =
      wanted.token !== '' &&
      uid !== '' &&
      secret.data?.['ca.crt'] === wanted['ca.crt'] &&
      secret.data['namespace'] === wanted.namespace
    if (isComplete) return nothing
    const token = wanted.token || base64(await sign(account, name))
    return {
      actions: [
        update(secrets, {
          ...secret,
          metadata: {
            ...secret.metadata,
            annotations: { ...annotations, [ACCOUNT_UID]: account.metadata.uid },
          },
          data: { ...secret.data, ...wanted, token },
        }),
      ],
    }
  }

/** Fills Secrets of type `kubernetes.io/service-account-token`, and removes them with their account. */
export const tokenSecretController = (settings: TokenSecretSettings): Controller =>
  defineController<Observed>({
    name: 'service-account-token',
    for: secrets,
    indexes: [
      {
        ref: secrets,
        name: 'account',
        values: ({ type, metadata }: Secret) =>
          type === TYPE ? [`${metadata.namespace}/${metadata.annotations?.[ACCOUNT_NAME]}`] : [],
      },
    ],
    watches: [
      watching<ServiceAccount>(serviceAccounts, ({ metadata }, _old, cache: Cache) =>
        cache
          .by(secrets, 'account', `${metadata.namespace}/${metadata.name}`)
          .map((secret) => `${secret.metadata.namespace}/${secret.metadata.name}`),
      ),
    ],
    observe(cache, key) {
      const secret = cache.get(secrets, key)
      if (secret?.type !== TYPE) return undefined
      const name = secret.metadata.annotations?.[ACCOUNT_NAME] ?? ''
      return { secret, account: cache.get(serviceAccounts, `${secret.metadata.namespace}/${name}`) }
    },
    decide: decide(settings),
  })
