/** Who decides about requests, and in which order: from flags and files to a chain that may change while it is used. */
import type { Env } from '#base'
import type { Authorizer } from '../../access.ts'
import type { CallWebhook } from '../../webhook-client/index.ts'
import { readWebhookFile } from '../../webhook-client/kubeconfig.ts'
import { followFile } from '../followed-file.ts'
import { webhookAuthorizer } from '../webhooks.ts'
import { abacAuthorizer } from './abac.ts'
import { matcher } from './conditions.ts'
import {
  parseAuthorizationConfiguration,
  type AuthorizerConfig,
  type SingleType,
  type WebhookConfig,
} from './config.ts'

export interface Link {
  readonly type: SingleType | 'Webhook'
  readonly name: string
  /** Absent for Node and RBAC, which the server has. */
  readonly authorizer?: Authorizer
}

export interface AuthorizationChain {
  /** In the order in which they are asked: another list after each change. */
  readonly links: () => readonly Link[]
  close(): void
}

export interface AuthorizationOptions {
  /** An AuthorizationConfiguration. */
  readonly file?: string
  /** Instead: names of authorizers in their order. */
  readonly modes?: readonly string[]
  /** Rules of the mode ABAC. */
  readonly policyFile?: string
  /** A kubeconfig: the authorizer of the mode Webhook. */
  readonly webhook?: {
    readonly file: string
    readonly allowedMs: number
    readonly deniedMs: number
  }
}

type ChainEnv = Pick<Env, 'fs' | 'clock' | 'log' | 'metrics'>

const MODES = ['AlwaysAllow', 'AlwaysDeny', 'ABAC', 'Webhook', 'RBAC', 'Node']
const DEFAULT_MODES: readonly string[] = ['Node', 'RBAC']

const fixed = (verdict: 'allow' | 'deny'): Authorizer => ({
  authorize: async () => ({
    verdict,
    reason: verdict === 'allow' ? '' : 'Everything is forbidden.',
  }),
  rules: async () => ({
    resourceRules:
      verdict === 'allow' ? [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }] : [],
    nonResourceRules: verdict === 'allow' ? [{ verbs: ['*'], nonResourceURLs: ['*'] }] : [],
    incomplete: false,
  }),
})

/** Throws an Error that names the flag or the file, and what is wrong. */
export async function openAuthorization(
  env: ChainEnv,
  call: CallWebhook,
  options: AuthorizationOptions,
): Promise<AuthorizationChain> {
  if (options.file !== undefined) return followLinks(env, call, options.file)
  const { webhook, policyFile } = options
  const modes =
    options.modes ?? (webhook === undefined ? DEFAULT_MODES : [...DEFAULT_MODES, 'Webhook'])
  checkModes(modes, options)
  const links: Link[] = []
  for (const mode of modes)
    if (mode === 'Webhook' && webhook !== undefined)
      links.push({
        type: 'Webhook',
        name: 'default',
        authorizer: webhookAuthorizer(
          { env, call, webhook: await readWebhookFile(env, webhook.file) },
          { ...webhook, onFailure: 'noOpinion' },
        ),
      })
    else if (mode === 'ABAC' && policyFile !== undefined)
      links.push({ type: 'ABAC', name: '', authorizer: await abacOf(env, policyFile) })
    else links.push(builtIn(mode as SingleType, ''))
  return { links: () => links, close: () => undefined }
}

function checkModes(modes: readonly string[], { webhook, policyFile }: AuthorizationOptions): void {
  const strange = modes.find((mode) => !MODES.includes(mode))
  if (strange !== undefined)
    throw new Error(`authorization-mode ${JSON.stringify(strange)} is not a valid mode`)
  const twice = modes.find((mode, i) => modes.indexOf(mode) !== i)
  if (twice !== undefined)
    throw new Error(`authorization-mode ${JSON.stringify(twice)} is there more than once`)
  if (modes.length === 0) throw new Error('at least one authorization-mode must be passed')
  const pairs = [
    ['ABAC', '--authorization-policy-file', policyFile],
    ['Webhook', '--authorization-webhook-config-file', webhook],
  ] as const
  for (const [mode, flag, given] of pairs) {
    if (modes.includes(mode) && given === undefined)
      throw new Error(`authorization-mode ${mode}'s authorization config file not passed: ${flag}`)
    if (!modes.includes(mode) && given !== undefined)
      throw new Error(`cannot specify ${flag} without mode ${mode}`)
  }
}

const abacOf = async ({ fs }: Pick<Env, 'fs'>, file: string): Promise<Authorizer> => {
  try {
    return abacAuthorizer(await fs.readText(file))
  } catch (error) {
    throw new Error(`${file}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    })
  }
}

const builtIn = (type: SingleType, name: string): Link =>
  type === 'AlwaysAllow' || type === 'AlwaysDeny'
    ? { type, name, authorizer: fixed(type === 'AlwaysAllow' ? 'allow' : 'deny') }
    : { type, name }

async function linksOf(env: ChainEnv, call: CallWebhook, text: string): Promise<readonly Link[]> {
  const links: Link[] = []
  for (const config of parseAuthorizationConfiguration(text))
    links.push(await linkOf(env, call, config))
  return links
}

async function linkOf(env: ChainEnv, call: CallWebhook, config: AuthorizerConfig): Promise<Link> {
  if (config.type === 'ABAC')
    throw new Error(
      'authorizers: ABAC goes with --authorization-mode and --authorization-policy-file',
    )
  if (config.type !== 'Webhook') return builtIn(config.type, config.name)
  const { name } = config
  return { type: 'Webhook', name, authorizer: await configuredWebhook(env, call, config) }
}

async function configuredWebhook(
  env: ChainEnv,
  call: CallWebhook,
  config: WebhookConfig,
): Promise<Authorizer> {
  const { name, failurePolicy, timeoutMs, allowedMs, deniedMs } = config
  const matches = matcher(config.matchConditions)
  const labels = ['type', 'name']
  const excluded = env.metrics.counter({
    name: 'apiserver_authorization_match_condition_exclusions_total',
    help: 'Requests that a webhook was not asked about.',
    labels,
  })
  const failed = env.metrics.counter({
    name: 'apiserver_authorization_match_condition_evaluation_errors_total',
    help: 'Match conditions that could not be evaluated.',
    labels,
  })
  return webhookAuthorizer(
    { env, call, webhook: await readWebhookFile(env, config.file) },
    {
      allowedMs,
      deniedMs,
      timeoutMs,
      onFailure: failurePolicy === 'Deny' ? 'deny' : 'noOpinion',
      matches(review) {
        const matched = matches(review)
        if (matched === 'no') excluded.with('Webhook', name).add()
        if (typeof matched === 'string') return matched === 'yes'
        failed.with('Webhook', name).add()
        throw new Error(matched.error)
      },
    },
  )
}

async function followLinks(
  env: ChainEnv,
  call: CallWebhook,
  file: string,
): Promise<AuthorizationChain> {
  const followed = await followFile(env, file, {
    what: 'authorization',
    parse: (text) => linksOf(env, call, text),
    mayFollow(before, next) {
      for (const type of ['Node', 'RBAC'] as const)
        if (has(next, type) !== has(before, type))
          throw new Error(`${file}: ${type} can only be added or removed by a restart`)
    },
  })
  return { links: () => followed.current(), close: () => followed.close() }
}

const has = (links: readonly Link[], type: Link['type']): boolean =>
  links.some((link) => link.type === type)
