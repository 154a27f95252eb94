/** Whether who asks may do it, and the words of a refusal. */
import type { Awaitable, Env } from '#base'
import { StatusError, forbidden, type RequestUser } from '#machinery'
import type { AccessMetrics } from '../metrics/index.ts'
import type { Attributes, Authorizer, Decision } from '../access.ts'
import type { Exchange, Filter, Reply, RequestInfo } from '../exchange.ts'
import { infoOf } from './request-info.ts'
import { timed } from './tracing.ts'
import { requireUser } from './user.ts'

/** 403 for those who may not; the audit log learns why. */
export const withAuthorization =
  (
    authorizer: Authorizer,
    { clock }: Pick<Env, 'clock'>,
    metrics: Pick<AccessMetrics, 'authorized'>,
  ): Filter =>
  (next) => {
    const ask = (_: string | undefined, attributes: Attributes): Awaitable<Decision> =>
      authorizer.authorize(attributes)
    const count = (result: Decision['verdict'] | 'error', started: number): void =>
      metrics.authorized(result, (clock.monotonic() - started) / 1000)
    const fail = (error: unknown, started: number): never => {
      count('error', started)
      throw error
    }
    const goOn = (
      exchange: Exchange,
      attributes: Attributes,
      { verdict, reason }: Decision,
      started: number,
    ): Promise<Reply> => {
      count(verdict, started)
      const { auditAnnotations: notes } = exchange
      if (notes !== undefined) {
        notes['authorization.k8s.io/decision'] = verdict === 'allow' ? 'allow' : 'forbid'
        if (reason !== '') notes['authorization.k8s.io/reason'] = reason
      }
      if (verdict !== 'allow') throw forbiddenFor(attributes, reason)
      return next(exchange)
    }
    const later = (
      exchange: Exchange,
      attributes: Attributes,
      deciding: Promise<Decision>,
      started: number,
    ): Promise<Reply> =>
      deciding.then(
        (decision) => goOn(exchange, attributes, decision, started),
        (error: unknown) => fail(error, started),
      )
    return (exchange) => {
      const attributes = attributesOf(requireUser(exchange), infoOf(exchange))
      const started = clock.monotonic()
      let decision: Awaitable<Decision>
      try {
        decision = timed(exchange, 'authorization', ask, attributes)
      } catch (error) {
        return fail(error, started)
      }
      return decision instanceof Promise
        ? later(exchange, attributes, decision, started)
        : goOn(exchange, attributes, decision, started)
    }
  }

/** A request as authorizers see it. */
export const attributesOf = (user: RequestUser, info: RequestInfo): Attributes => ({
  user,
  verb: info.verb,
  isResource: info.isResource,
  namespace: info.namespace,
  group: info.group,
  version: info.version,
  resource: info.resource,
  subresource: info.subresource,
  name: info.name,
  path: info.path,
  ...(info.fieldSelector === undefined ? {} : { fieldSelector: info.fieldSelector }),
  ...(info.labelSelector === undefined ? {} : { labelSelector: info.labelSelector }),
})

/** 403 in the words that clients and people know: who, what, where. */
export function forbiddenFor(attributes: Attributes, reason: string): StatusError {
  const { user, verb, isResource, resource, subresource, group, namespace, name, path } = attributes
  const who = `User ${JSON.stringify(user.name)} cannot ${verb}`
  const because = reason === '' ? '' : `: ${reason}`
  if (!isResource)
    return new StatusError(
      'Forbidden',
      `forbidden: ${inert(`${who} path ${JSON.stringify(path)}`)}${because}`,
      { details: {} },
    )
  const what = JSON.stringify(subresource === '' ? resource : `${resource}/${subresource}`)
  const where =
    namespace === '' ? 'at the cluster scope' : `in the namespace ${JSON.stringify(namespace)}`
  return forbidden(
    { group, resource },
    name,
    `${inert(`${who} resource ${what} in API group ${JSON.stringify(group)} ${where}`)}${because}`,
  )
}

/** Nothing in it is HTML, even for who would have it so. */
const inert = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
