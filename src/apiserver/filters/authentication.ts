/** Who asks. */
import type { Env } from '#base'
import { StatusError } from '#machinery'
import type { AccessMetrics } from '../access-metrics.ts'
import type { Authenticator } from '../access.ts'
import type { Filter } from '../exchange.ts'
import { timed } from './tracing.ts'
import { ANONYMOUS, unauthorized } from './user.ts'

/** 401 for those whom nobody knows; a call in the same process has brought its user. */
export const withAuthentication =
  (
    authenticator: Authenticator,
    { clock }: Pick<Env, 'clock'>,
    metrics: Pick<AccessMetrics, 'authenticated'>,
  ): Filter =>
  (next) =>
  async (exchange) => {
    if (exchange.trustedUser !== undefined) {
      exchange.user = exchange.trustedUser
      return next(exchange)
    }
    const started = clock.monotonic()
    const seconds = (): number => (clock.monotonic() - started) / 1000
    let found: Awaited<ReturnType<Authenticator['authenticate']>>
    try {
      found = await timed(exchange, 'authentication', () => authenticator.authenticate(exchange))
    } catch (error) {
      const isRefusal = error instanceof StatusError && error.code === 401
      metrics.authenticated(isRefusal ? 'failure' : 'error', seconds())
      throw error
    }
    // A certificate that nobody here signed is a mistake to tell of, not an anonymous visit.
    if (
      found === undefined ||
      (found.user.name === ANONYMOUS && exchange.untrustedCertificate === true)
    ) {
      metrics.authenticated('failure', seconds())
      throw unauthorized()
    }
    metrics.authenticated('success', seconds(), found.user.name)
    exchange.user = found.user
    return next(exchange)
  }
