/** Bearer tokens: where requests carry them, and the kinds that need no cryptography. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Clock } from '#base'
import type { RequestUser } from '#machinery'
import { secrets } from '#api'
import type { Authenticator } from '../access.ts'
import type { Exchange } from '../exchange.ts'
import type { Reader } from '../inside.ts'
import { unauthorized } from './users.ts'

export interface TokenAnswer {
  readonly user: RequestUser
  /** Whom the token is meant for; absent when it says nothing about that. */
  readonly audiences?: readonly string[]
}

export interface TokenAuthenticator {
  /** Undefined when the token is not of this kind; throws 401 when it is and does not hold. `audiences` absent stands for the server's own. */
  authenticateToken(token: string, audiences?: readonly string[]): Promise<TokenAnswer | undefined>
}

const WEBSOCKET_PREFIX = 'base64url.bearer.authorization.k8s.io.'

/** The token of a request: in its Authorization header, or among the subprotocols of a WebSocket that a browser opens. */
function bearerToken(exchange: Exchange): string | undefined {
  const match = /^bearer +(\S+) *$/i.exec(exchange.headers['authorization'] ?? '')
  if (match) return match[1]
  if (!/^websocket$/i.test(exchange.headers['upgrade'] ?? '')) return undefined
  const protocol = (exchange.headers['sec-websocket-protocol'] ?? '')
    .split(',')
    .map((name) => name.trim())
    .find((name) => name.startsWith(WEBSOCKET_PREFIX))
  return protocol === undefined
    ? undefined
    : Buffer.from(protocol.slice(WEBSOCKET_PREFIX.length), 'base64url').toString('utf8')
}

/** A token that nobody knows is refused: it never makes the caller anonymous. */
export const bearerAuthenticator = (tokens: TokenAuthenticator): Authenticator => ({
  async authenticate(exchange) {
    const token = bearerToken(exchange)
    if (token === undefined) return undefined
    const found = await tokens.authenticateToken(token)
    if (found === undefined) throw unauthorized()
    return found
  },
})

/** The first that knows the token answers; one that knows it and refuses does not keep others from being asked. */
export const unionOfTokens = (kinds: readonly TokenAuthenticator[]): TokenAuthenticator => ({
  async authenticateToken(token, audiences) {
    let refusal: unknown
    for (const kind of kinds) {
      try {
        const found = await kind.authenticateToken(token, audiences)
        if (found !== undefined) return found
      } catch (error) {
        refusal ??= error
      }
    }
    if (refusal !== undefined) throw refusal
    return undefined
  },
})

/** Tokens of a file: `token,user,uid,"group1,group2"` a line, as upstream reads it. */
export function staticTokens(csv: string): TokenAuthenticator {
  const users = new Map<string, RequestUser>()
  for (const line of csv.split('\n')) {
    const [token = '', name = '', uid = '', groups = ''] = fields(line)
    if (token === '' || name === '') continue
    users.set(digest(token), {
      name,
      ...(uid === '' ? {} : { uid }),
      groups: groups
        .split(',')
        .map((group) => group.trim())
        .filter((group) => group !== ''),
    })
  }
  // Looking up the digest gives nothing away about a token that is nearly right.
  return {
    authenticateToken: async (token) => {
      const user = users.get(digest(token))
      return user && { user }
    },
  }
}

const digest = (text: string): string => createHash('sha256').update(text).digest('base64')

function fields(line: string): readonly string[] {
  const found: string[] = []
  for (const match of line.trim().matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g))
    found.push((match[1]?.replaceAll('""', '"') ?? match[2] ?? '').trim())
  return found
}

const BOOTSTRAP_TOKEN = /^([a-z0-9]{6})\.([a-z0-9]{16})$/

/** Tokens with which nodes join: Secrets `kube-system/bootstrap-token-ID` of type `bootstrap.kubernetes.io/token`. */
export const bootstrapTokens = (
  read: Pick<Reader, 'get'>,
  { now }: Pick<Clock, 'now'>,
): TokenAuthenticator => ({
  async authenticateToken(token) {
    const [, id, secret] = BOOTSTRAP_TOKEN.exec(token) ?? []
    if (id === undefined || secret === undefined) return undefined
    const found = read.get(secrets, 'kube-system', `bootstrap-token-${id}`)
    if (found === undefined || found.metadata.deletionTimestamp !== undefined) return undefined
    const value = (key: string): string =>
      Buffer.from(found.data?.[key] ?? '', 'base64').toString('utf8')
    if (found.type !== 'bootstrap.kubernetes.io/token') return undefined
    if (!same(value('token-secret'), secret) || value('token-id') !== id) return undefined
    const expiration = value('expiration')
    if (expiration !== '' && !(Date.parse(expiration) > now().getTime())) return undefined
    if (value('usage-bootstrap-authentication') !== 'true') return undefined
    const extra = value('auth-extra-groups')
      .split(',')
      .filter((group) => group !== '')
    if (!extra.every((group) => /^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/.test(group)))
      return undefined
    return {
      user: {
        name: `system:bootstrap:${id}`,
        groups: ['system:bootstrappers', ...extra],
      },
    }
  },
})

const same = (a: string, b: string): boolean =>
  timingSafeEqual(createHash('sha256').update(a).digest(), createHash('sha256').update(b).digest())
