/** Who may ask this node what: as the API server judges, remembered for a while. */
import { createHash } from 'node:crypto'
import { BoundedMap, type Env } from '#base'
import { subjectAccessReviews, tokenReviews } from '#api'
import type { Client } from '#client'
import type { NodeAttributes } from './attributes.ts'

export interface NodeUser {
  readonly name: string
  readonly uid?: string
  readonly groups: readonly string[]
  readonly extra?: Readonly<Record<string, readonly string[]>>
}

export interface NodeAccess {
  /** Undefined when the token is nobody's. Rejects when that cannot be found out. */
  authenticate(token: string): Promise<NodeUser | undefined>
  /** Whether one of the subresources of this node may be used so. Rejects with `AuthorizationError` when that cannot be found out. */
  authorize(user: NodeUser, attributes: NodeAttributes): Promise<boolean>
}

export class AuthorizationError extends Error {
  constructor(user: NodeUser, verb: string, subresource: string) {
    super(
      `Authorization error (user=${user.name}, verb=${verb}, resource=nodes, subresource=${subresource})`,
    )
    this.name = 'AuthorizationError'
  }
}

export interface ReviewedAccessOptions {
  /** As the node. */
  readonly client: Client
  readonly nodeName: string
  readonly env: Pick<Env, 'clock' | 'log'>
}

/** As a stock kubelet's `authentication.webhook.cacheTTL` and `authorization.webhook.cache…TTL`. */
const TOKEN_MS = 2 * 60_000
const ALLOWED_MS = 5 * 60_000
const DENIED_MS = 30_000
const REMEMBERED = 1000

/** Asks with TokenReviews and SubjectAccessReviews. */
export function reviewedAccess({ client, nodeName, env }: ReviewedAccessOptions): NodeAccess {
  const { clock } = env
  const users = remembered<NodeUser | undefined>(clock)
  const verdicts = remembered<boolean>(clock)
  return {
    authenticate: (token) =>
      users(digest(token), async () => {
        const { status } = await client.create(tokenReviews, { metadata: {}, spec: { token } })
        const { username = '', uid, groups = [], extra } = status?.user ?? {}
        if (status?.authenticated !== true || username === '')
          return { value: undefined, forMs: TOKEN_MS }
        const user: NodeUser = {
          name: username,
          groups,
          ...(uid === undefined ? {} : { uid }),
          ...(extra === undefined ? {} : { extra }),
        }
        return { value: user, forMs: TOKEN_MS }
      }),
    async authorize(user, { verb, subresources }) {
      for (const subresource of subresources) {
        const { name, uid, groups, extra } = user
        const isAllowed = await verdicts(
          digest(JSON.stringify([name, uid, groups, extra, verb, subresource])),
          async () => {
            const { status } = await client.create(subjectAccessReviews, {
              metadata: {},
              spec: {
                user: name,
                groups,
                ...(uid === undefined ? {} : { uid }),
                ...(extra === undefined ? {} : { extra }),
                resourceAttributes: {
                  verb,
                  version: 'v1',
                  resource: 'nodes',
                  subresource,
                  name: nodeName,
                },
              },
            })
            const value = status?.allowed === true
            return { value, forMs: value ? ALLOWED_MS : DENIED_MS }
          },
        ).catch((error: unknown) => {
          env.log.warn('Cannot find out who may ask this node', { user: name, error })
          throw new AuthorizationError(user, verb, subresource)
        })
        if (isAllowed) return true
      }
      return false
    },
  }
}

/** Tokens are not kept. */
const digest = (text: string): string => createHash('sha256').update(text).digest('base64')

interface Found<T> {
  readonly value: T
  readonly forMs: number
}

/** Who asks while the same is being asked gets the same answer; what failed is not remembered. */
function remembered<T>(
  clock: Env['clock'],
): (key: string, find: () => Promise<Found<T>>) => Promise<T> {
  const known = new BoundedMap<string, { readonly value: T; readonly untilMs: number }>(REMEMBERED)
  const asked = new Map<string, Promise<T>>()
  return (key, find) => {
    const found = known.get(key)
    if (found !== undefined && clock.monotonic() < found.untilMs)
      return Promise.resolve(found.value)
    const under = asked.get(key)
    if (under !== undefined) return under
    const answer = find()
      .then(({ value, forMs }) => {
        known.set(key, { value, untilMs: clock.monotonic() + forMs })
        return value
      })
      .finally(() => asked.delete(key))
    asked.set(key, answer)
    return answer
  }
}
