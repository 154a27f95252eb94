/** Authentication and authorization by others: webhooks that answer TokenReviews and SubjectAccessReviews. */
import { createHash } from 'node:crypto'
import { BoundedMap, type Env } from '#base'
import {
  parseFieldSelector,
  parseLabelSelector,
  type JsonObject,
  type RequestUser,
} from '#machinery'
import type { Attributes, Authorizer, Decision } from '../access.ts'
import { isObject } from '../json.ts'
import type { CallWebhook } from '../webhook-client/index.ts'
import type { ConfiguredWebhook } from '../webhook-client/kubeconfig.ts'
import type { TokenAnswer, TokenAuthenticator } from './tokens.ts'
import { unauthorized } from './users.ts'

const TIMEOUT_MS = 30_000
const REMEMBERED = 4096

export interface WebhookEnv {
  readonly env: Pick<Env, 'clock' | 'log'>
  readonly call: CallWebhook
  readonly webhook: ConfiguredWebhook
}

/** Answers are good for a while: `forMs` says how long each is. */
function remembering<T>(
  { clock }: Pick<Env, 'clock'>,
  forMs: (answer: T) => number,
): (key: string, ask: () => Promise<T>) => Promise<T> {
  const known = new BoundedMap<string, { readonly answer: T; readonly until: number }>(REMEMBERED)
  return async (key, ask) => {
    const found = known.get(key)
    if (found !== undefined && clock.monotonic() < found.until) return found.answer
    const answer = await ask()
    const ms = forMs(answer)
    if (ms > 0) known.set(key, { answer, until: clock.monotonic() + ms })
    return answer
  }
}

const digest = (value: unknown): string =>
  createHash('sha256').update(JSON.stringify(value)).digest('base64')

/** Asks about tokens that nobody else knows. */
export function webhookTokens(
  { env, call, webhook }: WebhookEnv,
  { ttlMs, audiences: own }: { readonly ttlMs: number; readonly audiences: readonly string[] },
): TokenAuthenticator {
  const remembered = remembering<TokenAnswer | undefined>(env, () => ttlMs)
  const log = env.log.for('authentication')
  const review = async (
    token: string,
    audiences: readonly string[],
  ): Promise<TokenAnswer | undefined> => {
    const answer = await call(
      webhook.config,
      {
        kind: 'TokenReview',
        apiVersion: 'authentication.k8s.io/v1',
        metadata: { creationTimestamp: null },
        spec: { token, audiences: [...audiences] },
        status: { user: {} },
      },
      { timeoutMs: TIMEOUT_MS, credentials: webhook.credentials },
    )
    const status = isObject(answer['status']) ? answer['status'] : {}
    const user = isObject(status['user']) ? status['user'] : {}
    if (status['authenticated'] !== true || typeof user['username'] !== 'string') return undefined
    const meant = strings(status['audiences'])
    return {
      user: {
        name: user['username'],
        ...(typeof user['uid'] === 'string' && user['uid'] !== '' ? { uid: user['uid'] } : {}),
        groups: strings(user['groups']),
        ...(isObject(user['extra'])
          ? {
              extra: Object.fromEntries(
                Object.entries(user['extra']).map(([key, values]) => [key, strings(values)]),
              ),
            }
          : {}),
      },
      // One that says nothing of audiences knows only the server's own.
      audiences: meant.length > 0 ? meant : own,
    }
  }
  return {
    async authenticateToken(token, wanted = own) {
      try {
        const answer = await remembered(digest([token, wanted]), () => review(token, wanted))
        const audiences = answer?.audiences?.filter((each) => wanted.includes(each)) ?? []
        return answer === undefined || audiences.length === 0
          ? undefined
          : { user: answer.user, audiences }
      } catch (error) {
        log.warn('The webhook could not be asked about a token', { error: error as Error })
        throw unauthorized()
      }
    },
  }
}

const strings = (value: unknown): readonly string[] =>
  Array.isArray(value) ? value.filter((each) => typeof each === 'string') : []

export interface AuthorizationWebhookOptions {
  readonly allowedMs: number
  readonly deniedMs: number
  /** When it cannot be asked. */
  readonly onFailure: 'noOpinion' | 'deny'
  /** Asked only about these requests. */
  readonly matches?: (review: JsonObject) => boolean
  readonly timeoutMs?: number
}

/** Asks what nobody before it had an opinion about. */
export function webhookAuthorizer(
  { env, call, webhook }: WebhookEnv,
  { allowedMs, deniedMs, onFailure, matches, timeoutMs = TIMEOUT_MS }: AuthorizationWebhookOptions,
): Authorizer {
  const remembered = remembering<Decision>(env, ({ verdict }) =>
    verdict === 'allow' ? allowedMs : deniedMs,
  )
  const log = env.log.for('authorization')
  const ask = async (spec: JsonObject): Promise<Decision> => {
    const answer = await call(
      webhook.config,
      {
        kind: 'SubjectAccessReview',
        apiVersion: 'authorization.k8s.io/v1',
        metadata: { creationTimestamp: null },
        spec,
        status: { allowed: false },
      },
      { timeoutMs, credentials: webhook.credentials },
    )
    const status = isObject(answer['status']) ? answer['status'] : {}
    const reason = typeof status['reason'] === 'string' ? status['reason'] : ''
    if (status['allowed'] === true && status['denied'] === true)
      throw new Error('the webhook both allows and denies')
    if (status['allowed'] === true) return { verdict: 'allow', reason }
    return { verdict: status['denied'] === true ? 'deny' : 'noOpinion', reason }
  }
  return {
    async authorize(attributes) {
      const spec = reviewSpec(attributes)
      try {
        if (matches !== undefined && !matches(spec)) return { verdict: 'noOpinion', reason: '' }
        return await remembered(digest(spec), () => ask(spec))
      } catch (error) {
        log.warn('The webhook could not be asked for a permission', { error: error as Error })
        return { verdict: onFailure, reason: '' }
      }
    },
    rules: async () => ({ resourceRules: [], nonResourceRules: [], incomplete: true }),
  }
}

function reviewSpec(attributes: Attributes): JsonObject {
  const { user, verb } = attributes
  return {
    ...about(attributes, verb),
    ...userSpec(user),
  }
}

const userSpec = ({ name, uid, groups, extra }: RequestUser): JsonObject => ({
  user: name,
  ...(groups.length === 0 ? {} : { groups: [...groups] }),
  ...(uid ? { uid } : {}),
  ...(extra && Object.keys(extra).length > 0
    ? {
        extra: Object.fromEntries(Object.entries(extra).map(([key, values]) => [key, [...values]])),
      }
    : {}),
})

function about(attributes: Attributes, verb: string): JsonObject {
  if (!attributes.isResource) return { nonResourceAttributes: { path: attributes.path, verb } }
  const { namespace, group, version, resource, subresource, name } = attributes
  const { fieldSelector, labelSelector } = attributes
  const given = Object.entries({ namespace, verb, group, version, resource, subresource, name })
  return {
    resourceAttributes: {
      ...Object.fromEntries(given.filter(([, value]) => value !== '')),
      ...selection('fieldSelector', fieldSelector, fieldRequirements),
      ...selection('labelSelector', labelSelector, parseLabelSelector),
    },
  }
}

/** As upstream sends selectors: parsed (KEP-4601). One that cannot be parsed restricts nothing. */
function selection(
  name: 'fieldSelector' | 'labelSelector',
  text: string | undefined,
  parse: (text: string) => readonly Requirement[],
): JsonObject {
  if (text === undefined || text === '') return {}
  try {
    const requirements = parse(text).map(({ key, operator, values = [] }) => ({
      key,
      operator,
      ...(values.length === 0 ? {} : { values: [...values] }),
    }))
    return requirements.length === 0 ? {} : { [name]: { requirements } }
  } catch {
    return {}
  }
}

interface Requirement {
  readonly key: string
  readonly operator: string
  readonly values?: readonly string[]
}

const fieldRequirements = (text: string): readonly Requirement[] =>
  parseFieldSelector(text).map(({ field, operator, value }) => ({
    key: field,
    operator: operator === '=' ? 'In' : 'NotIn',
    values: [value],
  }))
