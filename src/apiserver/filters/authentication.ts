/** Who asks. */
import type { Awaitable, Env } from '#base'
import { StatusError } from '#machinery'
import type { AccessMetrics } from '../metrics/index.ts'
import type { Authenticator, Identity } from '../access.ts'
import type { Filter, Reply } from '../exchange.ts'
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
  (exchange) => {
    if (exchange.trustedUser !== undefined) {
      exchange.user = exchange.trustedUser
      return next(exchange)
    }
    const started = clock.monotonic()
    const seconds = (): number => (clock.monotonic() - started) / 1000
    const refuse = (error: unknown): never => {
      const isRefusal = error instanceof StatusError && error.code === 401
      metrics.authenticated(isRefusal ? 'failure' : 'error', seconds())
      throw error
    }
    const goOn = (found: Identity | undefined): Promise<Reply> => {
      // A certificate that nobody here signed is a mistake to tell of, not an anonymous visit.
      if (
        found === undefined ||
        (found.user.name === ANONYMOUS && exchange.untrustedCertificate === true)
      )
        return refuse(unauthorized())
      metrics.authenticated('success', seconds(), found.user.name)
      exchange.user = found.user
      return next(exchange)
    }
    let found: Awaitable<Identity | undefined>
    try {
      found = timed(exchange, 'authentication', () => authenticator.authenticate(exchange))
    } catch (error) {
      return refuse(error)
    }
    return found instanceof Promise ? found.then(goOn, refuse) : goOn(found)
  }
