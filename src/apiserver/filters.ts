/** What every request passes before it reaches its resource, each filter one concern. */
import type { Env, Span, Tracing } from '#base'
import {
  StatusError,
  badRequest,
  durationNanos,
  forbidden,
  internalError,
  type RequestUser,
} from '#machinery'
import type { Attributes, Authenticator, Authorizer, Decision } from './access.ts'
import type { AccessMetrics } from './access-metrics.ts'
import {
  headerFamily,
  headerValues,
  type Exchange,
  type Filter,
  type Handler,
  type Reply,
  type RequestInfo,
} from './exchange.ts'
import type { RequestMetrics } from './metrics.ts'
import { parseRequest } from './requests.ts'
import type { Codec } from './codec.ts'
import { Deadlines } from './deadlines.ts'
import { statusReply } from './replies.ts'
import { labelsOf } from './request-labels.ts'
import { RequestTrace } from './trace.ts'
import { warningHeaders } from './warnings.ts'

const CONVERSATIONS: ReadonlySet<string> = new Set([
  'attach',
  'exec',
  'log',
  'portforward',
  'proxy',
])

/** Answers that stay open as long as the client likes: no deadline, no share of the limits. */
export const isLongRunning = ({ isResource, verb, subresource, path }: RequestInfo): boolean =>
  isResource
    ? verb === 'watch' || verb === 'proxy' || CONVERSATIONS.has(subresource)
    : path.startsWith('/debug/')

const infoOf = (exchange: Exchange): RequestInfo =>
  (exchange.info ??= parseRequest(exchange.method, exchange.path, exchange.query))

/** Outermost: every failure becomes a Status, and every answer names its request and carries its warnings. */
export const withErrorResponses =
  (codec: Codec, { log }: Pick<Env, 'log'>): Filter =>
  (next) =>
  async (exchange) => {
    let reply: Reply
    try {
      reply = await next(exchange)
    } catch (error) {
      reply = statusReply(codec, exchange, toStatusError(error, exchange, log))
    }
    if (exchange.trustedUser !== undefined) return reply
    const warnings = warningHeaders(exchange.warnings)
    const headers: Record<string, string | readonly string[]> = {
      'audit-id': exchange.id,
      'cache-control': 'no-cache, private',
      ...reply.headers,
    }
    if (exchange.flow !== undefined) {
      headers['x-kubernetes-pf-flowschema-uid'] = exchange.flow.schemaUid
      headers['x-kubernetes-pf-prioritylevel-uid'] = exchange.flow.levelUid
    }
    if (warnings.length > 0) headers['warning'] = warnings
    return { ...reply, headers }
  }

function toStatusError(error: unknown, exchange: Exchange, log: Env['log']): StatusError {
  if (error instanceof StatusError) return error
  if (exchange.signal.aborted && exchange.signal.reason instanceof StatusError)
    return exchange.signal.reason
  // Only what the client sent can be nested so deep.
  if (error instanceof RangeError && error.message.includes('call stack'))
    return badRequest('the request is nested too deep')
  // The client sees which request it was; what went wrong inside is for the log alone.
  if (!exchange.signal.aborted)
    log.error('request failed', {
      id: exchange.id,
      method: exchange.method,
      path: exchange.path,
      error,
    })
  return internalError(`the server could not complete request ${exchange.id}; see its log`)
}

/** Reads the path, and counts and logs what became of the request. */
export const withRequestInfo =
  ({ clock, log }: Pick<Env, 'clock' | 'log'>, metrics: RequestMetrics, slowMs: number): Filter =>
  (next) =>
  async (exchange) => {
    const info = infoOf(exchange)
    const started = clock.monotonic()
    const longRunning = isLongRunning(info)
    const trace = new RequestTrace(clock)
    exchange.trace = trace
    const labels = labelsOf(info, exchange)
    let code = 500
    let reply: Reply | undefined
    let failure: unknown
    try {
      reply = await next(exchange)
      code = reply.status
      return reply
    } catch (error) {
      if (error instanceof StatusError) code = error.code
      else if (exchange.signal.aborted) metrics.aborted(labels)
      failure = error
      throw error
    } finally {
      const ms = clock.monotonic() - started
      const isRead = labels.verb === 'GET' || labels.verb === 'LIST'
      metrics.observe(labels, {
        code,
        seconds: ms / 1000,
        ownSeconds: Math.max(0, ms - trace.outsideMs) / 1000,
        isLongRunning: longRunning,
        answerBytes: isRead && reply?.body instanceof Uint8Array ? reply.body.length : undefined,
      })
      const sent = Number(exchange.headers['content-length'] ?? 0)
      if (sent > 0 && info.isResource && BODY_VERBS.has(info.verb)) metrics.bodySize(labels, sent)
      for (const { name, ms: took } of trace.parts)
        if (FILTERS.has(name)) metrics.filter(name, took)
      const { span } = trace
      if (span !== undefined) {
        span.set({ 'http.response.status_code': code, 'enduser.id': exchange.user?.name ?? '' })
        span.end(code >= 500 ? (failure ?? `status ${code}`) : undefined)
      }
      if (ms >= slowMs && !longRunning)
        log.warn('slow request', {
          id: exchange.id,
          verb: info.verb,
          path: exchange.path,
          user: exchange.user?.name,
          code,
          ms: Math.round(ms),
          parts: trace.text(),
        })
    }
  }

const BODY_VERBS: ReadonlySet<string> = new Set(['create', 'update', 'patch'])
const FILTERS: ReadonlySet<string> = new Set([
  'authentication',
  'authorization',
  'priorityandfairness',
])

/** Whoever is of these may say which trace a request belongs to, and that it is collected. */
const MAY_SAY_TRACES: ReadonlySet<string> = new Set(['system:masters', 'system:monitoring'])

/** Traces requests of those who are known. */
export const withTracing =
  ({ clock, tracing }: Pick<Env, 'clock' | 'tracing'>): Filter =>
  (next) =>
  (exchange) => {
    if (tracing !== undefined) exchange.trace?.begin(beginSpan(tracing, exchange, clock.now()))
    return next(exchange)
  }

/**
 * It belongs to the trace of what led to it, or of who asks, if that is one who may say so; else a trace begins
 * here, which others may find from theirs by a link.
 */
function beginSpan(tracing: Tracing, exchange: Exchange, now: Date): Span | undefined {
  const { method, path, cause, trace } = exchange
  const info = infoOf(exchange)
  const revision = cause === undefined ? undefined : /@(\d+)$/.exec(cause)?.[1]
  const given = exchange.headers['traceparent']
  const isTrusted =
    exchange.trustedUser !== undefined ||
    exchange.user?.groups?.some((group) => MAY_SAY_TRACES.has(group)) === true
  const parent =
    (isTrusted ? given : undefined) ??
    (revision === undefined ? undefined : tracing.writerOf(Number(revision)))
  const what = info.subresource === '' ? info.resource : `${info.resource}/${info.subresource}`
  const spentMs = trace?.parts.reduce((sum, { ms }) => sum + ms, 0) ?? 0
  return tracing.start(info.isResource ? `${info.verb} ${what}` : `${method} ${path}`, {
    kind: 'server',
    parent,
    link: parent === given ? undefined : given,
    started: new Date(now.getTime() - spentMs),
    attributes: {
      'http.request.method': method,
      'url.path': path,
      'audit-id': exchange.id,
      ...(cause === undefined ? {} : { cause }),
    },
  })
}

/** Ends what takes too long; watches and conversations may take as long as they like. */
export const withDeadline =
  ({ clock }: Pick<Env, 'clock'>, timeoutMs: number): Filter =>
  (next) => {
    const deadlines = new Deadlines(clock, timeoutMs)
    const within = (exchange: Exchange, work: Handler): Promise<Reply> => {
      Object.assign(exchange, { deadline: clock.monotonic() + timeoutMs })
      return deadlines.within(work(exchange), tooLate)
    }
    return (exchange) => {
      // A call in the same process has its caller's own deadline.
      if (exchange.trustedUser !== undefined || isLongRunning(infoOf(exchange)))
        return next(exchange)
      return exchange.query.has('timeout')
        ? withinAsked(exchange, next, clock, { timeoutMs, within })
        : within(exchange, next)
    }
  }

/** Who asks for less time gets it, and the work ends with it. */
async function withinAsked(
  exchange: Exchange,
  next: Handler,
  clock: Env['clock'],
  usual: {
    readonly timeoutMs: number
    readonly within: (exchange: Exchange, next: Handler) => Promise<Reply>
  },
): Promise<Reply> {
  const asked = timeoutIn(exchange) ?? 0
  if (asked <= 0 || asked >= usual.timeoutMs) return usual.within(exchange, next)
  const over = new AbortController()
  const expired = Promise.withResolvers<never>()
  const signal = AbortSignal.any([exchange.signal, over.signal])
  Object.assign(exchange, { deadline: clock.monotonic() + asked, signal })
  const cancel = clock.schedule(asked, () => {
    const error = tooLate()
    expired.reject(error)
    over.abort(error)
  })
  try {
    return await Promise.race([next(exchange), expired.promise])
  } finally {
    cancel()
  }
}

const GO_DURATION = /^[-+]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|ms|s|m|h))+)$/

/** `?timeout=10s`, in milliseconds. Throws 400 for what is no duration. */
function timeoutIn({ query }: Exchange): number | undefined {
  const text = query.get('timeout')
  if (text === null || text === '') return undefined
  if (!GO_DURATION.test(text)) {
    const what = /^[-+]?\d+(?:\.\d*)?$/.test(text) ? 'missing unit in' : 'invalid'
    throw badRequest(
      `invalid timeout specified in the request URL - time: ${what} duration ${JSON.stringify(text)}`,
    )
  }
  return Number(durationNanos(text)) / 1e6
}

const tooLate = (): StatusError =>
  new StatusError(
    'Timeout',
    'Timeout: request did not complete within requested timeout - context deadline exceeded',
  )

const ANONYMOUS = 'system:anonymous'

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

const timed = <T>({ trace }: Exchange, name: string, run: () => Promise<T>): Promise<T> =>
  trace === undefined ? run() : trace.part(name, run)

const unauthorized = (): StatusError => new StatusError('Unauthorized', 'Unauthorized')

/** Lets those who may act as somebody else, by the Impersonate-* headers. */
export const withImpersonation = (authorizer: Authorizer): Filter => {
  const impersonate = async (
    exchange: Exchange,
    wanted: RequestUser,
    next: Handler,
  ): Promise<Reply> => {
    const user = requireUser(exchange)
    for (const check of impersonationChecks(wanted)) {
      const attributes: Attributes = {
        version: '',
        namespace: '',
        subresource: '',
        group: '',
        ...check,
        user,
        verb: 'impersonate',
        isResource: true,
        path: exchange.path,
      }
      const { verdict, reason } = await authorizer.authorize(attributes)
      if (verdict !== 'allow') throw forbiddenFor(attributes, reason)
    }
    exchange.user = completed(wanted)
    return next(exchange)
  }
  // Few do: all others go on without a wait.
  return (next) => (exchange) => {
    const wanted = exchange.trustedUser === undefined ? impersonated(exchange) : undefined
    return wanted === undefined ? next(exchange) : impersonate(exchange, wanted, next)
  }
}

const EXTRA = 'impersonate-extra-'

function impersonated(exchange: Exchange): RequestUser | undefined {
  const [name] = headerValues(exchange, 'impersonate-user')
  const [uid] = headerValues(exchange, 'impersonate-uid')
  const groups = headerValues(exchange, 'impersonate-group')
  const family = headerFamily(exchange, EXTRA)
  const extra = Object.keys(family).length === 0 ? undefined : family
  if (name === undefined || name === '') {
    if (groups.length > 0 || uid !== undefined || extra !== undefined)
      throw new StatusError(
        'BadRequest',
        'a group, UID or extra field is impersonated without a user: Impersonate-User is missing',
      )
    return undefined
  }
  return {
    name,
    groups,
    ...(uid === undefined ? {} : { uid }),
    ...(extra === undefined ? {} : { extra }),
  }
}

const SERVICE_ACCOUNT = 'system:serviceaccount:'
const serviceAccountOf = (user: string): readonly [namespace: string, name: string] | undefined => {
  if (!user.startsWith(SERVICE_ACCOUNT)) return undefined
  const [namespace, name, ...more] = user.slice(SERVICE_ACCOUNT.length).split(':')
  return namespace !== undefined && name !== undefined && name !== '' && more.length === 0
    ? [namespace, name]
    : undefined
}

function* impersonationChecks(
  user: RequestUser,
): Generator<
  Pick<Attributes, 'resource' | 'name'> &
    Partial<Pick<Attributes, 'group' | 'version' | 'namespace' | 'subresource'>>
> {
  const account = serviceAccountOf(user.name)
  if (account !== undefined)
    yield { resource: 'serviceaccounts', version: 'v1', namespace: account[0], name: account[1] }
  else yield { resource: 'users', version: 'v1', name: user.name }
  for (const name of user.groups) yield { resource: 'groups', version: 'v1', name }
  const group = 'authentication.k8s.io'
  for (const [key, values] of Object.entries(user.extra ?? {}))
    for (const name of values)
      yield { group, version: 'v1', resource: 'userextras', subresource: key, name }
  if (user.uid !== undefined) yield { group, version: 'v1', resource: 'uids', name: user.uid }
}

/** The groups that a login of this user would have brought. */
function completed(user: RequestUser): RequestUser {
  const account = serviceAccountOf(user.name)
  const groups =
    user.groups.length === 0 && account !== undefined
      ? ['system:serviceaccounts', `system:serviceaccounts:${account[0]}`]
      : [...user.groups]
  const known = user.name === ANONYMOUS ? 'system:unauthenticated' : 'system:authenticated'
  if (!groups.includes('system:unauthenticated') && !groups.includes(known)) groups.push(known)
  return { ...user, groups }
}

export const withAuthorization =
  (
    authorizer: Authorizer,
    { clock }: Pick<Env, 'clock'>,
    metrics: Pick<AccessMetrics, 'authorized'>,
  ): Filter =>
  (next) =>
  async (exchange) => {
    const attributes = attributesOf(requireUser(exchange), infoOf(exchange))
    const started = clock.monotonic()
    let result: Decision['verdict'] | 'error' = 'error'
    let decision: Decision
    try {
      decision = await timed(exchange, 'authorization', () => authorizer.authorize(attributes))
      result = decision.verdict
    } finally {
      metrics.authorized(result, (clock.monotonic() - started) / 1000)
    }
    const { verdict, reason } = decision
    const { auditAnnotations: notes } = exchange
    if (notes !== undefined) {
      notes['authorization.k8s.io/decision'] = verdict === 'allow' ? 'allow' : 'forbid'
      if (reason !== '') notes['authorization.k8s.io/reason'] = reason
    }
    if (verdict !== 'allow') throw forbiddenFor(attributes, reason)
    return next(exchange)
  }

export function requireUser(exchange: Exchange): RequestUser {
  if (exchange.user === undefined) throw unauthorized()
  return exchange.user
}

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
      `forbidden: ${who} path ${JSON.stringify(path)}${because}`,
      { details: {} },
    )
  const what = JSON.stringify(subresource === '' ? resource : `${resource}/${subresource}`)
  const where =
    namespace === '' ? 'at the cluster scope' : `in the namespace ${JSON.stringify(namespace)}`
  return forbidden(
    { group, resource },
    name,
    `${who} resource ${what} in API group ${JSON.stringify(group)} ${where}${because}`,
  )
}
