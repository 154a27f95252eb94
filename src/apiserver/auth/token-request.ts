/** `serviceaccounts/token`: a token for an account, bound to what is asked for. */
import type { Env } from '#base'
import {
  FieldPath,
  StatusError,
  badRequest,
  invalid,
  invalidValue,
  notFound,
  type JsonObject,
  type KubeObject,
} from '#machinery'
import { nodes, pods, secrets, type TokenRequestSpec } from '#api'
import type { Extensions } from '../extensions.ts'
import type { Reader } from '../inside.ts'
import { DEFAULT_ISSUER, type TokenClaims, type TokenSigner } from './service-account-tokens.ts'

const MIN_SECONDS = 10 * 60
const MAX_SECONDS = 2 ** 32
const DEFAULT_SECONDS = 3600
/** What a kubelet asks for when the pod's author asked for nothing: such tokens get a year, because old programs never read them anew. */
const WARN_ONLY_SECONDS = 3607
const EXTENDED_SECONDS = 365 * 24 * 3600

export interface TokenIssuerOptions {
  readonly read: Pick<Reader, 'get'>
  readonly env: Pick<Env, 'clock' | 'random'>
  readonly signer: TokenSigner
  readonly issuer?: string
  /** What the server itself is called in tokens. Default: the issuer. */
  readonly audiences?: readonly string[]
  /** Longer ones are cut to this. */
  readonly maxSeconds?: number
}

/** Fills in a TokenRequest's status. */
export function tokenIssuer(options: TokenIssuerOptions): NonNullable<Extensions['issueToken']> {
  const issuer = options.issuer ?? DEFAULT_ISSUER
  const ownAudiences = options.audiences ?? [issuer]
  return async (_exchange, account, request) => {
    const spec = (request['spec'] ?? {}) as TokenRequestSpec
    const asked = spec.expirationSeconds ?? DEFAULT_SECONDS
    validate(asked)
    const seconds = Math.min(asked, options.maxSeconds ?? asked)
    const audiences = spec.audiences?.length ? spec.audiences : ownAudiences
    const bound = bindTo(options.read, account, spec.boundObjectRef)

    const nowMs = options.env.clock.now().getTime()
    const issuedAt = Math.floor(nowMs / 1000)
    const extend =
      seconds === WARN_ONLY_SECONDS &&
      bound.pod !== undefined &&
      audiences.some((audience) => ownAudiences.includes(audience))
    const claims: TokenClaims = {
      aud: audiences,
      exp: issuedAt + (extend ? EXTENDED_SECONDS : seconds),
      iat: issuedAt,
      iss: issuer,
      jti: options.env.random.uuid(),
      'kubernetes.io': {
        namespace: account.metadata.namespace ?? '',
        ...(bound.node && { node: bound.node }),
        ...(bound.pod && { pod: bound.pod }),
        ...(bound.secret && { secret: bound.secret }),
        serviceaccount: { name: account.metadata.name, uid: account.metadata.uid ?? '' },
        ...(extend ? { warnafter: issuedAt + seconds } : {}),
      },
      nbf: issuedAt,
      sub: `system:serviceaccount:${account.metadata.namespace ?? ''}:${account.metadata.name}`,
    }
    const { metadata } = request as { metadata?: JsonObject }
    return {
      kind: 'TokenRequest',
      apiVersion: 'authentication.k8s.io/v1',
      metadata: {
        ...metadata,
        name: account.metadata.name,
        namespace: account.metadata.namespace,
        creationTimestamp: new Date(issuedAt * 1000).toISOString().replace('.000Z', 'Z'),
      },
      spec: {
        audiences,
        expirationSeconds: seconds,
        boundObjectRef: spec.boundObjectRef ?? null,
      },
      status: {
        token: await options.signer.sign(claims),
        expirationTimestamp: new Date((issuedAt + seconds) * 1000)
          .toISOString()
          .replace('.000Z', 'Z'),
      },
    }
  }
}

function validate(seconds: number): void {
  const path = FieldPath.of('spec', 'expirationSeconds')
  const errors = [
    ...(seconds < MIN_SECONDS
      ? [invalidValue(path, seconds, 'may not specify a duration less than 10 minutes')]
      : []),
    ...(seconds > MAX_SECONDS
      ? [invalidValue(path, seconds, 'may not specify a duration larger than 2^32 seconds')]
      : []),
  ]
  if (errors.length > 0)
    throw invalid({ group: 'authentication.k8s.io', kind: 'TokenRequest' }, '', errors)
}

interface Named {
  readonly name: string
  readonly uid: string
}

function bindTo(
  read: Pick<Reader, 'get'>,
  account: KubeObject,
  reference: TokenRequestSpec['boundObjectRef'],
): { readonly pod?: Named; readonly secret?: Named; readonly node?: Named } {
  if (reference === undefined || reference === null) return {}
  const namespace = account.metadata.namespace ?? ''
  const { kind, apiVersion, name = '', uid = '' } = reference
  const checked = (resource: string, object: KubeObject | undefined): Named => {
    if (object === undefined) throw notFound({ group: '', resource }, name)
    const found = object.metadata.uid ?? ''
    if (uid !== '' && uid !== found)
      throw new StatusError(
        'Conflict',
        `Operation cannot be fulfilled on ${resource} "${name}": the UID in the bound object reference (${uid}) does not match the UID in record. The object might have been deleted and then recreated`,
        { details: { name, kind: resource } },
      )
    return { name, uid: found }
  }
  if (apiVersion === 'v1' && kind === 'Pod') {
    const pod = read.get(pods, namespace, name)
    const bound = checked('pods', pod)
    if (pod?.spec?.serviceAccountName !== account.metadata.name)
      throw badRequest(
        `cannot bind token for serviceaccount ${JSON.stringify(account.metadata.name)} to pod running with different serviceaccount name.`,
      )
    const nodeName = pod.spec.nodeName
    const node = nodeName ? read.get(nodes, '', nodeName) : undefined
    return {
      pod: bound,
      ...(nodeName ? { node: { name: nodeName, uid: node?.metadata.uid ?? '' } } : {}),
    }
  }
  if (apiVersion === 'v1' && kind === 'Secret')
    return { secret: checked('secrets', read.get(secrets, namespace, name)) }
  if (apiVersion === 'v1' && kind === 'Node')
    return { node: checked('nodes', read.get(nodes, '', name)) }
  throw badRequest(`cannot bind token to object of type ${apiVersion ?? ''}, Kind=${kind ?? ''}`)
}
