/** Who asks. */
import type { Awaitable, Env } from '#base'
import { StatusError } from '#machinery'
import type { AccessMetrics } from '../metrics/index.ts'
import type { Authenticator, Identity } from '../access.ts'
import type { Exchange, Filter, Reply } from '../exchange.ts'
import { timed } from './tracing.ts'
import { ANONYMOUS, unauthorized } from './user.ts'

/** 401 for those whom nobody knows; a call in the same process has brought its user. */
export const withAuthentication =
  (
    authenticator: Authenticator,
    { clock }: Pick<Env, 'clock'>,
    metrics: Pick<AccessMetrics, 'authenticated'>,
  ): Filter =>
  (next) => {
    const ask = (_: string | undefined, exchange: Exchange): Awaitable<Identity | undefined> =>
      authenticator.authenticate(exchange)
    const secondsSince = (started: number): number => (clock.monotonic() - started) / 1000
    const refuse = (error: unknown, started: number): never => {
      const isRefusal = error instanceof StatusError && error.code === 401
      metrics.authenticated(isRefusal ? 'failure' : 'error', secondsSince(started))
      throw error
    }
    const goOn = (
      exchange: Exchange,
      found: Identity | undefined,
      started: number,
    ): Promise<Reply> => {
      // A certificate that nobody here signed is a mistake to tell of, not an anonymous visit.
      if (
        found === undefined ||
        (found.user.name === ANONYMOUS && exchange.untrustedCertificate === true)
      )
        return refuse(unauthorized(), started)
      metrics.authenticated('success', secondsSince(started), found.user.name)
      exchange.user = found.user
      return next(exchange)
    }
    const later = (
      exchange: Exchange,
      finding: Promise<Identity | undefined>,
      started: number,
    ): Promise<Reply> =>
      finding.then(
        (found) => goOn(exchange, found, started),
        (error: unknown) => refuse(error, started),
      )
    return (exchange) => {
      if (exchange.trustedUser !== undefined) {
        exchange.user = exchange.trustedUser
        return next(exchange)
      }
      const started = clock.monotonic()
      let found: Awaitable<Identity | undefined>
      try {
        found = timed(exchange, 'authentication', ask, exchange)
      } catch (error) {
        return refuse(error, started)
      }
      return found instanceof Promise
        ? later(exchange, found, started)
        : goOn(exchange, found, started)
    }
  }
