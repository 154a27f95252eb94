/** Who asks, for all that comes after authentication. */
import { StatusError, type RequestUser } from '#machinery'
import type { Exchange } from '../exchange.ts'

/** Who shows nothing at all. */
export const ANONYMOUS = 'system:anonymous'

/** 401, which says no more than that. */
export const unauthorized = (): StatusError => new StatusError('Unauthorized', 'Unauthorized')

/** 401 where nobody has been authenticated. */
export function requireUser(exchange: Exchange): RequestUser {
  if (exchange.user === undefined) throw unauthorized()
  return exchange.user
}
