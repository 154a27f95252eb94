/** From flags and the files that they name to what authentication and authorization are made of. */
import type { Env } from '#base'
import { createWebhookClient } from '../webhook-client/index.ts'
import { readWebhookFile } from '../webhook-client/kubeconfig.ts'
import type { AccessControlOptions } from './access-control.ts'
import {
  parseAuthenticationConfiguration,
  type AnonymousConfig,
  type JwtIssuer,
} from './oidc/config.ts'
import { followFile } from './followed-file.ts'
import { oidcTokens } from './oidc/index.ts'
import { openAuthorization, type AuthorizationOptions } from './authorization/index.ts'
import { DEFAULT_ISSUER } from './service-account-tokens.ts'
import { unionOfTokens } from './tokens.ts'
import { webhookTokens } from './webhooks.ts'

export interface OidcOptions {
  readonly issuerUrl: string
  readonly clientId: string
  readonly caFile?: string
  /** Default `sub`. */
  readonly usernameClaim?: string
  /** `-` for none. Default: the issuer and `#`, unless the claim is `email`. */
  readonly usernamePrefix?: string
  readonly groupsClaim?: string
  readonly groupsPrefix?: string
  readonly requiredClaims?: Readonly<Record<string, string>>
  /** Default RS256. */
  readonly signingAlgorithms?: readonly string[]
}

/** Files and addresses that say who may come in, as the flags name them. */
export interface AccessOptions {
  /** An AuthenticationConfiguration. */
  readonly authenticationFile?: string
  readonly oidc?: OidcOptions
  /** Lines of `token,user,uid,"groups"`. */
  readonly tokenFile?: string
  /** A kubeconfig: whom to ask about tokens. */
  readonly tokenWebhook?: { readonly file: string; readonly ttlMs: number }
  readonly allowAnonymous?: boolean
  /** Who decides about requests. Default: Node, RBAC, and a webhook when it has one. */
  readonly authorization?: AuthorizationOptions
  /** Written into tokens; the first is, all are accepted. */
  readonly issuers?: readonly string[]
  readonly audiences?: readonly string[]
  /** PEM files: tokens signed with these keys are good too. */
  readonly verifyingKeyFiles?: readonly string[]
}

/** What was read of those. */
export type OpenedAccess = Pick<
  AccessControlOptions,
  | 'allowAnonymous'
  | 'anonymousPaths'
  | 'audiences'
  | 'authorization'
  | 'issuers'
  | 'moreTokens'
  | 'staticTokens'
  | 'verifyingKeys'
> & {
  /** Follows files no longer. */
  close(): void
}

/** Throws an Error that names the file, or the flag, and what is wrong. */
export async function openAccess(
  env: Pick<Env, 'fs' | 'clock' | 'net' | 'log' | 'random' | 'metrics'>,
  options: AccessOptions,
): Promise<OpenedAccess> {
  const { authenticationFile, oidc, tokenFile, tokenWebhook } = options
  if (authenticationFile !== undefined && oidc !== undefined)
    throw new Error('--authentication-config and --oidc-* cannot be given together')
  const read = (file: string): Promise<string> => env.fs.readText(file)
  const followed =
    authenticationFile === undefined
      ? undefined
      : await followFile(env, authenticationFile, {
          what: 'authentication',
          parse(text) {
            const parsed = parseAuthenticationConfiguration(text)
            const tokens = parsed.jwt.map((issuer) => oidcTokens(env, issuer))
            return { parsed, tokens: unionOfTokens(tokens) }
          },
        })
  const config = followed?.current()
  if (config?.parsed.anonymous !== undefined && options.allowAnonymous !== undefined)
    throw new Error(
      '--anonymous-auth cannot be given when the authentication configuration says it',
    )
  const issuers = options.issuers ?? [DEFAULT_ISSUER]
  const audiences = options.audiences ?? issuers
  // Named by URL: there is nothing to look up.
  const { call } = createWebhookClient({ env, read: { get: () => undefined, list: () => [] } })
  const anonymous: AnonymousConfig | undefined =
    config?.parsed.anonymous ??
    (options.allowAnonymous === undefined ? undefined : { enabled: options.allowAnonymous })
  const authorization = await openAuthorization(env, call, options.authorization ?? {})
  return {
    issuers,
    audiences,
    authorization,
    close() {
      authorization.close()
      followed?.close()
    },
    moreTokens: [
      ...(followed === undefined
        ? []
        : [
            {
              authenticateToken: (token: string, wanted?: readonly string[]) =>
                followed.current().tokens.authenticateToken(token, wanted),
            },
          ]),
      ...(oidc === undefined ? [] : [oidcTokens(env, await issuerOf(oidc, read))]),
      ...(tokenWebhook === undefined
        ? []
        : [
            webhookTokens(
              { env, call, webhook: await readWebhookFile(env, tokenWebhook.file) },
              { ttlMs: tokenWebhook.ttlMs, audiences },
            ),
          ]),
    ],
    ...(tokenFile === undefined ? {} : { staticTokens: await read(tokenFile) }),
    ...(anonymous === undefined ? {} : { allowAnonymous: anonymous.enabled }),
    ...(anonymous?.paths === undefined ? {} : { anonymousPaths: anonymous.paths }),
    ...(options.verifyingKeyFiles === undefined
      ? {}
      : { verifyingKeys: await Promise.all(options.verifyingKeyFiles.map(read)) }),
  }
}

/** The flags of old say less than the configuration: they become one. */
async function issuerOf(
  oidc: OidcOptions,
  read: (file: string) => Promise<string>,
): Promise<JwtIssuer> {
  const { issuerUrl, clientId, caFile, usernameClaim = 'sub', groupsClaim } = oidc
  const prefix = oidc.usernamePrefix ?? (usernameClaim === 'email' ? '' : `${issuerUrl}#`)
  return {
    issuer: {
      url: issuerUrl,
      audiences: [clientId],
      ...(caFile === undefined ? {} : { certificateAuthority: await read(caFile) }),
    },
    claimValidationRules: Object.entries(oidc.requiredClaims ?? {}).map(
      ([claim, requiredValue]) => ({ claim, requiredValue }),
    ),
    claimMappings: {
      username: { claim: usernameClaim, prefix: prefix === '-' ? '' : prefix },
      ...(groupsClaim === undefined
        ? {}
        : { groups: { claim: groupsClaim, prefix: oidc.groupsPrefix ?? '' } }),
      extra: [],
    },
    userValidationRules: [],
    algorithms: oidc.signingAlgorithms ?? ['RS256'],
  }
}
