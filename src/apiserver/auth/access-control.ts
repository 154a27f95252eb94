/** All of authentication and authorization as one: what a server's `extend` needs of it. */
import type { Env } from '#base'
import type { Authenticator, Authorizer } from '../access.ts'
import type { AdmissionPlugin } from '../admission.ts'
import type { Extensions } from '../extensions.ts'
import type { ServerInside } from '../inside.ts'
import {
  certificateAuthenticator,
  frontProxyAuthenticator,
  unionAuthenticator,
} from './authenticators.ts'
import { chainAuthorizer } from './authorization/chain.ts'
import type { AuthorizationChain, Link } from './authorization/index.ts'
import { discoveryPages } from './discovery.ts'
import { noteUse } from './legacy-use.ts'
import { nodeAuthorizer } from './node-authorizer.ts'
import { rbacAuthorizer } from './rbac/authorizer.ts'
import { escalationCheck } from './rbac/escalation.ts'
import { rbacSource } from './rbac/source.ts'
import { reviews } from './reviews.ts'
import {
  DEFAULT_ISSUER,
  serviceAccountTokens,
  tokenSigner,
  type TokenSigner,
} from './service-account-tokens.ts'
import { tokenIssuer } from './token-request.ts'
import {
  bearerAuthenticator,
  bootstrapTokens,
  staticTokens,
  unionOfTokens,
  type TokenAuthenticator,
} from './tokens.ts'

/** Whom the server believes, and who decides what they may do. */
export interface AccessControlOptions {
  readonly env: Pick<Env, 'clock' | 'random' | 'metrics' | 'log'>
  /** PEM private keys of service account tokens: the first signs, all verify. */
  readonly serviceAccountKeys: readonly string[]
  /** PEM public or private keys: their tokens are good, and none is signed with them. */
  readonly verifyingKeys?: readonly string[]
  /** The first is written into tokens, all are accepted. Default `https://kubernetes.default.svc.cluster.local`. */
  readonly issuers?: readonly string[]
  /** What the server is called in tokens. Default: the issuers. */
  readonly audiences?: readonly string[]
  /** PEM of the authorities whose certificates are users. */
  readonly clientAuthorities?: readonly string[]
  /** PEM of the authorities whose certificates may speak for others. */
  readonly frontProxyAuthorities?: readonly string[]
  /** Common names of front proxies. Default `front-proxy-client`. */
  readonly frontProxyNames?: readonly string[]
  /** Lines of `token,user,uid,"groups"`. */
  readonly staticTokens?: string
  /** Default true: anonymous requests then meet the roles of `system:unauthenticated`. */
  readonly allowAnonymous?: boolean
  /** Anonymous requests only here; absent for everywhere. */
  readonly anonymousPaths?: readonly string[]
  /** Other issuers and webhooks, asked after our own kinds. */
  readonly moreTokens?: readonly TokenAuthenticator[]
  /** Who decides, in which order. Default: Node, then RBAC. */
  readonly authorization?: Pick<AuthorizationChain, 'links'>
}

/** All that the server needs to know who asks and whether they may. */
export interface AccessControl {
  readonly authenticator: Authenticator
  readonly authorizer: Authorizer
  readonly tokens: TokenAuthenticator
  /** For tokens in Secrets: `signLegacyToken(signer, …)`. */
  readonly signer: TokenSigner
  readonly virtualResources: NonNullable<Extensions['virtualResources']>
  readonly issueToken: NonNullable<Extensions['issueToken']>
  readonly pages: NonNullable<Extensions['pages']>
  /** Keeps people from giving away more than they have: goes last among the validating plugins. */
  readonly escalationCheck: AdmissionPlugin
}

/** The server itself, where it notes who uses tokens of old. */
const SERVER = { name: 'system:apiserver', groups: ['system:masters', 'system:authenticated'] }

const DEFAULT_LINKS: readonly Link[] = [
  { type: 'Node', name: '' },
  { type: 'RBAC', name: '' },
]

/** Puts authenticators and authorizers together, in the order in which they are asked. */
export function accessControl(
  { read, transport }: Pick<ServerInside, 'read' | 'transport'>,
  options: AccessControlOptions,
): AccessControl {
  const { env, serviceAccountKeys } = options
  const issuers = options.issuers ?? [DEFAULT_ISSUER]
  const [issuer = DEFAULT_ISSUER] = issuers
  const audiences = options.audiences ?? issuers
  const verifying = [...serviceAccountKeys, ...(options.verifyingKeys ?? [])]
  const [signingKey] = serviceAccountKeys
  if (signingKey === undefined)
    throw new Error('Cannot issue service account tokens: no signing key was given')
  const signer = tokenSigner(signingKey)

  const tokens = unionOfTokens([
    ...(options.staticTokens === undefined ? [] : [staticTokens(options.staticTokens)]),
    serviceAccountTokens({
      read,
      clock: env.clock,
      keys: verifying,
      issuers,
      audiences,
      noteUse: noteUse(() => transport(SERVER), env),
    }),
    bootstrapTokens(read, env.clock),
    ...(options.moreTokens ?? []),
  ])
  const authenticator = unionAuthenticator(
    [
      frontProxyAuthenticator({
        authorities: options.frontProxyAuthorities ?? [],
        names: options.frontProxyNames ?? ['front-proxy-client'],
        clock: env.clock,
      }),
      certificateAuthenticator({
        authorities: options.clientAuthorities ?? [],
        clock: env.clock,
      }),
      bearerAuthenticator(tokens),
    ],
    {
      allowAnonymous: options.allowAnonymous ?? true,
      ...(options.anonymousPaths === undefined ? {} : { anonymousPaths: options.anonymousPaths }),
    },
  )

  const source = rbacSource(read)
  const rbac = rbacAuthorizer(source)
  const authorizer = chainAuthorizer(
    options.authorization?.links ?? (() => DEFAULT_LINKS),
    { Node: nodeAuthorizer(read), RBAC: rbac },
    env.metrics,
  )
  return {
    authenticator,
    authorizer,
    tokens,
    signer,
    virtualResources: reviews({ authorizer, tokens, audiences, clock: env.clock }),
    issueToken: tokenIssuer({ read, env, signer, issuer, audiences }),
    pages: discoveryPages({ issuer, keys: verifying }),
    escalationCheck: escalationCheck({ source, rbac, authorizer }),
  }
}
