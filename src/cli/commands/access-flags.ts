/** Flags of authentication and authorization, under the names that kube-apiserver gives them. */
import type { ServeOptions } from '#cluster'
import { UsageError, type OptionSpec, type ParsedArguments } from '../arguments.ts'
import { first } from './common.ts'

type AccessOptions = NonNullable<NonNullable<ServeOptions['api']>['access']>

const file = (name: string, summary: string): OptionSpec => ({ name, value: 'FILE', summary })
const oidc = (name: string, value: string, summary: string): OptionSpec => ({
  name: `oidc-${name}`,
  value,
  summary,
})

export const accessOptions: readonly OptionSpec[] = [
  file('authentication-config', 'Whose tokens are users (AuthenticationConfiguration)'),
  oidc('issuer-url', 'URL', 'An OpenID issuer whose tokens are users'),
  oidc('client-id', 'ID', 'For whom its tokens are meant'),
  oidc('ca-file', 'FILE', 'Authority of its certificate (default: those the world trusts)'),
  oidc('username-claim', 'CLAIM', 'The claim that names the user (default sub)'),
  oidc('username-prefix', 'TEXT', 'Before the name; - for none (default the issuer and #)'),
  oidc('groups-claim', 'CLAIM', 'The claim that names the groups'),
  oidc('groups-prefix', 'TEXT', 'Before each group'),
  { ...oidc('required-claim', 'KEY=VALUE', 'A claim that the token must have'), repeat: true },
  oidc('signing-algs', 'LIST', 'Signatures that are good (default RS256)'),
  file('token-auth-file', 'Tokens that are users, one a line: token,user,uid,"groups"'),
  file('authentication-token-webhook-config-file', 'A kubeconfig: whom to ask about tokens'),
  {
    name: 'authentication-token-webhook-cache-ttl',
    value: 'DURATION',
    summary: 'How long its answers are good (default 2m)',
  },
  {
    name: 'anonymous-auth',
    value: 'BOOL',
    summary: 'Whether requests without credentials are anonymous (default true)',
  },
  file(
    'authorization-config',
    'Who decides about requests, in order (AuthorizationConfiguration); read again when it changes',
  ),
  {
    name: 'authorization-mode',
    value: 'LIST',
    repeat: true,
    summary:
      'Who decides, in order: Node,RBAC,Webhook,ABAC,AlwaysAllow,AlwaysDeny (default Node,RBAC)',
  },
  file('authorization-policy-file', 'Rules of the mode ABAC, one a line'),
  file('authorization-webhook-config-file', 'A kubeconfig: whom to ask for permissions'),
  {
    name: 'authorization-webhook-cache-authorized-ttl',
    value: 'DURATION',
    summary: 'How long what it allows is allowed (default 5m)',
  },
  {
    name: 'authorization-webhook-cache-unauthorized-ttl',
    value: 'DURATION',
    summary: 'How long what it refuses is refused (default 30s)',
  },
  {
    name: 'service-account-issuer',
    value: 'URL',
    repeat: true,
    summary: 'The issuer of service-account tokens; several: the first signs, all are good',
  },
  {
    name: 'api-audiences',
    value: 'LIST',
    summary: 'What this server is called in tokens (default the issuers)',
  },
  {
    ...file('service-account-key-file', 'A key whose service-account tokens are good too'),
    repeat: true,
  },
]

export function accessSettings(parsed: ParsedArguments): AccessOptions | undefined {
  const one = (name: string): string | undefined => first(parsed, name)
  const many = (name: string): readonly string[] => parsed.values.get(name) ?? []
  const ms = (name: string, usual: string): number => durationMs(name, one(name) ?? usual)
  const tokenWebhook = one('authentication-token-webhook-config-file')
  const anonymous = one('anonymous-auth')
  if (anonymous !== undefined && anonymous !== 'true' && anonymous !== 'false')
    throw new UsageError(`--anonymous-auth must be true or false, not ${JSON.stringify(anonymous)}`)
  const audiences = listOf(one('api-audiences'))
  const options = given<AccessOptions>({
    authenticationFile: one('authentication-config'),
    oidc: oidcOf(one, many('oidc-required-claim')),
    tokenFile: one('token-auth-file'),
    tokenWebhook: tokenWebhook && {
      file: tokenWebhook,
      ttlMs: ms('authentication-token-webhook-cache-ttl', '2m'),
    },
    allowAnonymous: anonymous === undefined ? undefined : anonymous === 'true',
    authorization: authorizationOf(one, many('authorization-mode'), ms),
    issuers: some(many('service-account-issuer')),
    audiences: some(audiences),
    verifyingKeyFiles: some(many('service-account-key-file')),
  })
  return Object.keys(options).length === 0 ? undefined : options
}

/** Undefined when nothing was said. */
function authorizationOf(
  one: (name: string) => string | undefined,
  modes: readonly string[],
  ms: (name: string, usual: string) => number,
): AccessOptions['authorization'] {
  const config = one('authorization-config')
  const webhook = one('authorization-webhook-config-file')
  const policyFile = one('authorization-policy-file')
  if (config !== undefined) {
    if (modes.length > 0 || webhook !== undefined || policyFile !== undefined)
      throw new UsageError(
        '--authorization-config cannot be given with --authorization-mode, --authorization-policy-file or --authorization-webhook-*',
      )
    return { file: config }
  }
  const options = given<NonNullable<AccessOptions['authorization']>>({
    modes: some(modes.flatMap((text) => listOf(text))),
    policyFile,
    webhook:
      webhook === undefined || webhook === ''
        ? undefined
        : {
            file: webhook,
            allowedMs: ms('authorization-webhook-cache-authorized-ttl', '5m'),
            deniedMs: ms('authorization-webhook-cache-unauthorized-ttl', '30s'),
          },
  })
  return Object.keys(options).length === 0 ? undefined : options
}

function oidcOf(
  one: (name: string) => string | undefined,
  required: readonly string[],
): AccessOptions['oidc'] {
  const issuerUrl = one('oidc-issuer-url')
  const clientId = one('oidc-client-id')
  if ((issuerUrl === undefined) !== (clientId === undefined))
    throw new UsageError('--oidc-issuer-url and --oidc-client-id go together')
  if (issuerUrl === undefined || clientId === undefined) return undefined
  if (!issuerUrl.startsWith('https://'))
    throw new UsageError(`--oidc-issuer-url must begin with https://, not ${issuerUrl}`)
  const pairs = required.map((text): readonly [string, string] => {
    const at = text.indexOf('=')
    if (at < 1) throw new UsageError(`--oidc-required-claim must be KEY=VALUE, not ${text}`)
    return [text.slice(0, at), text.slice(at + 1)]
  })
  return given<NonNullable<AccessOptions['oidc']>>({
    issuerUrl,
    clientId,
    caFile: one('oidc-ca-file'),
    usernameClaim: one('oidc-username-claim'),
    usernamePrefix: one('oidc-username-prefix'),
    groupsClaim: one('oidc-groups-claim'),
    groupsPrefix: one('oidc-groups-prefix'),
    requiredClaims: pairs.length === 0 ? undefined : Object.fromEntries(pairs),
    signingAlgorithms: some(listOf(one('oidc-signing-algs'))),
  })
}

/** Only what was said. */
const given = <T>(all: { readonly [K in keyof T]?: T[K] | '' | undefined }): T =>
  Object.fromEntries(
    Object.entries(all).filter(([, value]) => value !== undefined && value !== ''),
  ) as T

const some = (list: readonly string[]): readonly string[] | undefined =>
  list.length === 0 ? undefined : list
const listOf = (text: string | undefined = ''): readonly string[] =>
  text
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '')

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

function durationMs(name: string, text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)]
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text)
    throw new UsageError(`--${name} must be a duration like 2m or 30s, not ${JSON.stringify(text)}`)
  return parts.reduce((sum, [, n, unit]) => sum + Number(n) * (UNITS_MS[unit ?? ''] ?? 0), 0)
}
