/** Tokens of service accounts: signed here, and valid as long as what they are bound to exists. */
import { createHash, createPrivateKey, createPublicKey } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { JWK } from 'jose'
import { BoundedMap, type Clock } from '#base'
import { nodes, pods, secrets, serviceAccounts, type ServiceAccount } from '#api'
import type { Reader } from '../inside.ts'
import { jose } from './jose.ts'
import { isEnded, type NoteUse } from './legacy-use.ts'
import type { TokenAuthenticator } from './tokens.ts'
import { serviceAccountGroups, serviceAccountName, unauthorized } from './users.ts'

export const DEFAULT_ISSUER = 'https://kubernetes.default.svc.cluster.local'
/** The issuer of tokens that live in Secrets. */
const LEGACY_ISSUER = 'kubernetes/serviceaccount'

/** Clients' clocks may be a little apart. */
const LEEWAY_SECONDS = 60
const CACHED_TOKENS = 4096

interface Named {
  readonly name: string
  readonly uid: string
}

export interface TokenClaims {
  readonly iss: string
  readonly sub: string
  readonly aud: readonly string[]
  readonly exp: number
  readonly iat: number
  readonly nbf: number
  readonly jti: string
  readonly 'kubernetes.io': {
    readonly namespace: string
    readonly serviceaccount: Named
    readonly pod?: Named
    readonly secret?: Named
    readonly node?: Named
    /** Seconds since 1970 after which use of the token is remarkable, though it still holds. */
    readonly warnafter?: number
  }
}

/** Signs claims as a compact JWT: ES256, or RS256 when the key is RSA. */
export interface TokenSigner {
  readonly algorithm: 'ES256' | 'RS256'
  readonly keyId: string
  sign(claims: object): Promise<string>
}

/** The signer of a private key in PEM. */
export function tokenSigner(privateKeyPem: string): TokenSigner {
  const key = createPrivateKey(privateKeyPem)
  const algorithm = algorithmOf(key)
  const keyId = keyIdOf(key)
  return {
    algorithm,
    keyId,
    async sign(claims) {
      const { SignJWT } = await jose()
      return new SignJWT({ ...claims }).setProtectedHeader({ alg: algorithm, kid: keyId }).sign(key)
    },
  }
}

/** RFC 7517, for verifiers; of a private or a public key in PEM. */
export async function publicJwk(keyText: string): Promise<JWK & { readonly alg: string }> {
  const { exportJWK } = await jose()
  const key = createPublicKey(keyText)
  return { use: 'sig', ...(await exportJWK(key)), kid: keyIdOf(key), alg: algorithmOf(key) }
}

const algorithmOf = (key: KeyObject): 'ES256' | 'RS256' =>
  key.asymmetricKeyType === 'rsa' ? 'RS256' : 'ES256'

const publicKeyOf = (key: KeyObject): KeyObject =>
  key.type === 'public' ? key : createPublicKey(key)

/** As upstream names keys: the digest of the public key, so that all servers name it alike. */
const keyIdOf = (key: KeyObject): string =>
  createHash('sha256')
    .update(publicKeyOf(key).export({ format: 'der', type: 'spki' }))
    .digest('base64url')

export interface ServiceAccountTokenOptions {
  readonly read: Pick<Reader, 'get'>
  readonly clock: Pick<Clock, 'now'>
  /** PEM. The first signs; tokens of the others are still good, so that keys can be exchanged. */
  readonly keys: readonly string[]
  /** The first is written into tokens; all are accepted. */
  readonly issuers?: readonly string[]
  /** What the server itself is called in tokens. Default: the issuers. */
  readonly audiences?: readonly string[]
  /** Is told of Secrets whose tokens were used. */
  readonly noteUse?: NoteUse
}

/** Checks signature, times, audience, and that the account and what the token is bound to are still the same ones. */
export function serviceAccountTokens(options: ServiceAccountTokenOptions): TokenAuthenticator {
  const issuers = options.issuers ?? [DEFAULT_ISSUER]
  const ownAudiences = options.audiences ?? issuers
  const keys = options.keys.map((text) => {
    const key = createPublicKey(text)
    return { keyId: keyIdOf(key), algorithm: algorithmOf(key), key }
  })
  // Signatures are checked once; what may change is looked at every time.
  const checked = new BoundedMap<string, Readonly<Record<string, unknown>>>(CACHED_TOKENS)

  const claimsOf = async (
    token: string,
  ): Promise<Readonly<Record<string, unknown>> | undefined> => {
    const known = checked.get(token)
    if (known !== undefined) return known
    if (token.split('.').length !== 3) return undefined
    const { compactVerify, decodeJwt } = await jose()
    try {
      const { iss } = decodeJwt(token)
      if (iss === undefined || ![LEGACY_ISSUER, ...issuers].includes(iss)) return undefined
    } catch {
      return undefined
    }
    for (const { keyId, algorithm, key } of keys) {
      const keyFor = ({ kid }: { kid?: string }) => {
        if (kid !== undefined && kid !== keyId) throw new Error('The token names another key')
        return key
      }
      try {
        await compactVerify(token, keyFor, { algorithms: [algorithm] })
      } catch {
        continue
      }
      const claims = decodeJwt(token)
      checked.set(token, claims)
      return claims
    }
    throw unauthorized()
  }

  return {
    async authenticateToken(token, wanted = ownAudiences) {
      const claims = await claimsOf(token)
      if (claims === undefined) return undefined
      if (claims['iss'] === LEGACY_ISSUER)
        return legacyUser(claims, token, wanted, ownAudiences, options)
      const found = claims as unknown as TokenClaims
      const now = options.clock.now().getTime() / 1000
      if (!(found.exp + LEEWAY_SECONDS > now) || !(found.nbf - LEEWAY_SECONDS <= now))
        throw unauthorized()
      const audiences = [found.aud].flat().filter((audience) => wanted.includes(audience))
      if (audiences.length === 0) throw unauthorized()
      return { user: boundUser(found, options), audiences }
    },
  }
}

/** Objects that are being deleted keep their tokens this long, so that they can say goodbye. */
const DELETION_LEEWAY_SECONDS = 60

function boundUser(
  claims: TokenClaims,
  { read, clock }: Pick<ServiceAccountTokenOptions, 'read' | 'clock'>,
) {
  const { namespace, serviceaccount, pod, secret, node } = claims['kubernetes.io'] ?? {}
  if (namespace === undefined || serviceaccount === undefined) throw unauthorized()
  const nowMs = clock.now().getTime()
  const alive = (
    object: { metadata: { uid?: string; deletionTimestamp?: string } } | undefined,
    uid: string,
  ): boolean => {
    if (object === undefined || object.metadata.uid !== uid) return false
    const deletion = object.metadata.deletionTimestamp
    return deletion === undefined || nowMs < Date.parse(deletion) + DELETION_LEEWAY_SECONDS * 1000
  }
  if (!alive(read.get(serviceAccounts, namespace, serviceaccount.name), serviceaccount.uid))
    throw unauthorized()
  if (pod && !alive(read.get(pods, namespace, pod.name), pod.uid)) throw unauthorized()
  if (secret && !alive(read.get(secrets, namespace, secret.name), secret.uid)) throw unauthorized()
  // A token that is bound to a pod names its node too, for information: the node may go.
  if (node && !pod && !alive(read.get(nodes, '', node.name), node.uid)) throw unauthorized()
  const prefix = 'authentication.kubernetes.io'
  return {
    name: serviceAccountName(namespace, serviceaccount.name),
    uid: serviceaccount.uid,
    groups: serviceAccountGroups(namespace),
    extra: {
      [`${prefix}/credential-id`]: [`JTI=${claims.jti}`],
      ...(pod && {
        [`${prefix}/pod-name`]: [pod.name],
        [`${prefix}/pod-uid`]: [pod.uid],
      }),
      ...(node && {
        [`${prefix}/node-name`]: [node.name],
        ...(node.uid === '' ? {} : { [`${prefix}/node-uid`]: [node.uid] }),
      }),
    },
  }
}

const LEGACY = 'kubernetes.io/serviceaccount'

/** Signs the token of a Secret of type `kubernetes.io/service-account-token`: it holds until the Secret or the account goes. */
export const signLegacyToken = (
  signer: TokenSigner,
  account: ServiceAccount,
  secretName: string,
): Promise<string> =>
  signer.sign({
    iss: LEGACY_ISSUER,
    sub: serviceAccountName(account.metadata.namespace ?? '', account.metadata.name),
    [`${LEGACY}/namespace`]: account.metadata.namespace ?? '',
    [`${LEGACY}/secret.name`]: secretName,
    [`${LEGACY}/service-account.name`]: account.metadata.name,
    [`${LEGACY}/service-account.uid`]: account.metadata.uid ?? '',
  })

function legacyUser(
  claims: Readonly<Record<string, unknown>>,
  token: string,
  wanted: readonly string[],
  ownAudiences: readonly string[],
  { read, noteUse }: Pick<ServiceAccountTokenOptions, 'read' | 'noteUse'>,
) {
  const claim = (name: string): string => {
    const value = claims[`${LEGACY}/${name}`]
    return typeof value === 'string' ? value : ''
  }
  const namespace = claim('namespace')
  const name = claim('service-account.name')
  const account = read.get(serviceAccounts, namespace, name)
  const secret = read.get(secrets, namespace, claim('secret.name'))
  const current = Buffer.from(secret?.data?.['token'] ?? '', 'base64').toString('utf8')
  if (account?.metadata.uid !== claim('service-account.uid')) throw unauthorized()
  if (secret === undefined || current !== token) throw unauthorized()
  if (secret.metadata.deletionTimestamp !== undefined || isEnded(secret)) throw unauthorized()
  const audiences = ownAudiences.filter((audience) => wanted.includes(audience))
  if (audiences.length === 0) throw unauthorized()
  noteUse?.(secret)
  return {
    user: {
      name: serviceAccountName(namespace, name),
      uid: account.metadata.uid ?? '',
      groups: serviceAccountGroups(namespace),
    },
    audiences,
  }
}
