/** Tokens of other issuers (OpenID Connect): who they are is said by AuthenticationConfiguration. */
import type { JSONWebKeySet, JWTVerifyGetKey } from 'jose'
import type { Env } from '#base'
import { getDocument } from '../../webhook-client/get.ts'
import { jose } from '../jose.ts'
import type { TokenAuthenticator } from '../tokens.ts'
import { unauthorized } from '../users.ts'
import { userFrom, type Claims } from './claims.ts'
import type { JwtIssuer } from './config.ts'

const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512']
/** A token of an unknown key makes us look for new keys, but not more often than this. */
const REFETCH_MS = 10_000
/** Throws an Error when an expression of the configuration is wrong; the issuer itself is asked with the first token. */
export function oidcTokens(
  env: Pick<Env, 'clock' | 'net' | 'log'>,
  config: JwtIssuer,
): TokenAuthenticator {
  const { url, audiences } = config.issuer
  const userOf = userFrom(config)
  const keys = issuerKeys(env, config)
  const log = env.log.for('oidc')
  return {
    async authenticateToken(token) {
      if (token.split('.').length !== 3) return undefined
      const { decodeJwt, jwtVerify } = await jose()
      try {
        if (decodeJwt(token).iss !== url) return undefined
      } catch {
        return undefined
      }
      const verified = async (keySet: JWTVerifyGetKey): Promise<Claims> => {
        const { payload } = await jwtVerify(token, keySet, {
          issuer: url,
          audience: [...audiences],
          algorithms: [...(config.algorithms ?? ALGORITHMS)],
          currentDate: env.clock.now(),
          requiredClaims: ['exp'],
        })
        return payload
      }
      try {
        const claims = await verified(await keys()).catch(async (error: unknown) => {
          if ((error as { code?: string }).code !== 'ERR_JWKS_NO_MATCHING_KEY') throw error
          return verified(await keys({ isStale: true }))
        })
        return { user: userOf(claims) }
      } catch (error) {
        log.info('A token is refused', { issuer: url, error: error as Error })
        throw unauthorized()
      }
    },
  }
}

/** The issuer's keys as last fetched; anew when a token names one that is not among them. */
function issuerKeys(
  env: Pick<Env, 'clock' | 'net'>,
  { issuer }: JwtIssuer,
): (need?: { readonly isStale: boolean }) => Promise<JWTVerifyGetKey> {
  const authority = issuer.certificateAuthority
  let fetched: { readonly at: number; readonly keys: Promise<JWTVerifyGetKey> } | undefined
  const fetchKeys = async (): Promise<JWTVerifyGetKey> => {
    const wellKnown =
      issuer.discoveryURL ?? `${issuer.url.replace(/\/$/, '')}/.well-known/openid-configuration`
    const found = await getDocument(env, { url: wellKnown, authority })
    if (found['issuer'] !== issuer.url)
      throw new Error(`${wellKnown} is of another issuer: ${JSON.stringify(found['issuer'])}`)
    const keySet = await getDocument(env, { url: String(found['jwks_uri']), authority })
    const { createLocalJWKSet } = await jose()
    return createLocalJWKSet(keySet as unknown as JSONWebKeySet)
  }
  return async ({ isStale } = { isStale: false }) => {
    const now = env.clock.monotonic()
    if (fetched === undefined || (isStale && now - fetched.at >= REFETCH_MS)) {
      const keys = fetchKeys()
      const mine = { at: now, keys }
      fetched = mine
      keys.catch(() => {
        if (fetched === mine) fetched = undefined
      })
    }
    return fetched.keys
  }
}
