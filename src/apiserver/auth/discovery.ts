/** OpenID discovery: how anyone can check our service account tokens (OpenID Connect Discovery 1.0, RFC 7517). */
import type { Reply } from '../exchange.ts'
import { DEFAULT_ISSUER, publicJwk } from './service-account-tokens.ts'

export interface DiscoveryOptions {
  readonly issuer?: string
  /** PEM, all that tokens may be signed with. */
  readonly keys: readonly string[]
  /** Where the key set is found. Default: the issuer's own `/openid/v1/jwks`. */
  readonly jwksUri?: string
}

/** The two pages, for `Extensions.pages`. */
export function discoveryPages({
  issuer = DEFAULT_ISSUER,
  keys,
  jwksUri = `${issuer}/openid/v1/jwks`,
}: DiscoveryOptions): Readonly<Record<string, () => Promise<Reply>>> {
  let keySet: ReturnType<typeof jwks> | undefined
  const jwks = () => Promise.all(keys.map(publicJwk))
  const all = (): ReturnType<typeof jwks> => (keySet ??= jwks())
  return {
    '/.well-known/openid-configuration': async () =>
      page('application/json', {
        issuer,
        jwks_uri: jwksUri,
        response_types_supported: ['id_token'],
        subject_types_supported: ['public'],
        id_token_signing_alg_values_supported: [
          ...new Set((await all()).map(({ alg }) => alg)),
        ].toSorted(),
      }),
    '/openid/v1/jwks': async () => page('application/jwk-set+json', { keys: await all() }),
  }
}

const page = (type: string, value: object): Reply => ({
  status: 200,
  headers: { 'content-type': type, 'cache-control': 'public, max-age=3600' },
  body: Buffer.from(JSON.stringify(value)),
})
