/** Writes down who did what (KEP-22): one event a stage, as much of it as the policy asks for. */
import type { Env } from '#base'
import { StatusError } from '#machinery'
import type { Exchange, Filter, Reply, RequestInfo } from '../exchange.ts'
import { isLongRunning } from '../filters/index.ts'
import { auditUser, microTime, objectRef, responseStatus, shown, type AuditEvent } from './event.ts'
import { detailFor, type AuditPolicy, type Detail, type Stage } from './policy.ts'

/** Who writes down what was done. */
export interface Audit {
  readonly policy: AuditPolicy
  /** Keeps the event or counts it as lost; never fails the request. */
  write(event: AuditEvent): void
  /** When what was written until now is where it stays; undefined when nobody waits for that. */
  kept?(): Promise<void> | undefined
}

/** Reads a body as a value, whatever its media type; undefined when it cannot be read. */
export type ReadBody = (bytes: Uint8Array, contentType: string | undefined) => unknown

/** Of a body that streams, this much is kept for the event. */
const MAX_RESPONSE_BYTES = 16 * 1024 * 1024

interface Recorded {
  readonly exchange: Exchange
  readonly info: RequestInfo
  readonly detail: Detail
  readonly receivedAt: string
  /** Who called, before any impersonation. */
  readonly user: Exchange['user']
  requestObject?: unknown
}

/** Writes down who asked for what and what came of it, in the detail that the policy wants (audit.k8s.io/v1). */
export const withAudit =
  (audit: Audit, { clock }: Pick<Env, 'clock'>, readBody: ReadBody): Filter =>
  (next) =>
  async (exchange) => {
    const { info, user } = exchange
    if (info === undefined) return next(exchange)
    const detail = detailFor(audit.policy, user, info)
    if (detail.level === 'None') return next(exchange)
    const record: Recorded = {
      exchange,
      info,
      detail,
      user,
      receivedAt: microTime(clock.now()),
      ...(exchange.value === undefined ? {} : { requestObject: exchange.value }),
    }
    exchange.auditAnnotations = {}
    const tell = (stage: Stage, more: Partial<AuditEvent> = {}): void => {
      if (detail.omitStages.has(stage)) return
      audit.write(eventOf(record, stage, microTime(clock.now()), more))
    }
    const withRequest = detail.level === 'Request' || detail.level === 'RequestResponse'
    const withResponse = detail.level === 'RequestResponse'
    const seen: Exchange =
      withRequest && info.isResource
        ? {
            ...exchange,
            // What is not a field of its own is not copied.
            query: exchange.query,
            signal: exchange.signal,
            stream: exchange.stream?.bind(exchange),
            body: async () => {
              const bytes = await exchange.body()
              if (bytes.length > 0)
                record.requestObject = readBody(bytes, exchange.headers['content-type'])
              return bytes
            },
          }
        : exchange
    tell('RequestReceived')
    let reply: Reply
    try {
      reply = await next(seen)
    } catch (error) {
      takeOver(exchange, seen)
      const status = error instanceof StatusError ? error.status : undefined
      tell('ResponseComplete', {
        responseStatus:
          status === undefined
            ? { metadata: {}, code: 500 }
            : responseStatus(status.code ?? 500, status),
        ...(withResponse && status !== undefined ? { responseObject: status } : {}),
      })
      await audit.kept?.()
      throw error
    }
    takeOver(exchange, seen)
    const complete = (answer: unknown): void =>
      tell('ResponseComplete', {
        responseStatus: responseStatus(reply.status, answer),
        ...(withResponse && answer !== undefined ? { responseObject: shown(answer, detail) } : {}),
      })
    if (isLongRunning(info)) {
      tell('ResponseStarted', { responseStatus: { metadata: {}, code: reply.status } })
      return { ...reply, ...followed(reply, () => complete(undefined)) }
    }
    const { body } = reply
    if (reply.value !== undefined || body === undefined) complete(reply.value)
    else if (body instanceof Uint8Array)
      complete(withResponse ? readBody(body, contentType(reply)) : undefined)
    else
      return {
        ...reply,
        ...followed(
          reply,
          (bytes) => complete(bytes && readBody(bytes, contentType(reply))),
          withResponse,
        ),
      }
    // Who has an answer finds the event in the log.
    await audit.kept?.()
    return reply
  }

/** Outside of authentication: who could not say who they are is written down too. */
export const withFailedAuthenticationAudit =
  (audit: Audit, { clock }: Pick<Env, 'clock'>): Filter =>
  (next) =>
  async (exchange) => {
    const receivedAt = microTime(clock.now())
    try {
      return await next(exchange)
    } catch (error) {
      const { info, user } = exchange
      if (info !== undefined && user === undefined && error instanceof StatusError) {
        const detail = detailFor(audit.policy, undefined, info)
        const stage = 'ResponseStarted'
        if (error.code === 401 && detail.level !== 'None' && !detail.omitStages.has(stage))
          audit.write(
            eventOf({ exchange, info, detail, user, receivedAt }, stage, microTime(clock.now()), {
              responseStatus: {
                ...responseStatus(401, error.status),
                message: 'Authentication failed, attempted: bearer token or client certificate',
              },
            }),
          )
      }
      throw error
    }
  }

/** What inner filters noted on the copy belongs to the request. */
function takeOver(exchange: Exchange, seen: Exchange): void {
  if (seen === exchange) return
  for (const key of ['user', 'info', 'flow'] as const)
    if (seen[key] !== undefined) Object.assign(exchange, { [key]: seen[key] })
}

const contentType = ({ headers }: Reply): string | undefined => {
  const value = headers['content-type']
  return typeof value === 'string' ? value : undefined
}

/** The same stream, and a call when it has ended or been left, with its bytes if they are wanted and few enough. */
function followed(
  { body }: Reply,
  ended: (bytes: Uint8Array | undefined) => void,
  keep = false,
): Pick<Reply, 'body'> {
  if (body === undefined || body instanceof Uint8Array) {
    ended(undefined)
    return {}
  }
  let kept: Uint8Array[] | undefined = keep ? [] : undefined
  let size = 0
  let isOver = false
  const over = (): void => {
    if (isOver) return
    isOver = true
    ended(kept && Buffer.concat(kept))
  }
  const source = body[Symbol.asyncIterator]()
  // No generator: one that is left before its first value would not tell.
  const iterator: AsyncIterator<Uint8Array, undefined> = {
    async next() {
      try {
        const { done, value } = await source.next()
        if (done === true) {
          over()
          return { done: true, value: undefined }
        }
        size += value.byteLength
        if (size > MAX_RESPONSE_BYTES) kept = undefined
        // Whoever sends the bytes may use their memory again.
        kept?.push(Uint8Array.from(value))
        return { done: false, value }
      } catch (error) {
        over()
        throw error
      }
    },
    async return() {
      over()
      await source.return?.()
      return { done: true, value: undefined }
    },
  }
  return { body: { [Symbol.asyncIterator]: () => iterator } }
}

/** What webhooks have changed says what is in the object: it is kept where the object is. */
const OF_THE_OBJECT = 'patch.webhook.admission.k8s.io/'

function eventOf(
  { exchange, info, detail, user, receivedAt, requestObject }: Recorded,
  stage: Stage,
  stageTimestamp: string,
  more: Partial<AuditEvent>,
): AuditEvent {
  const query = exchange.query.toString()
  const impersonated =
    exchange.user !== undefined && user !== undefined && exchange.user !== user
      ? exchange.user
      : undefined
  const ref = objectRef(info, requestObject ?? { metadata: exchange.subject })
  const agent = exchange.headers['user-agent']
  const withRequest = detail.level === 'Request' || detail.level === 'RequestResponse'
  const notes = Object.entries(exchange.auditAnnotations ?? {}).filter(
    ([key]) => withRequest || !key.startsWith(OF_THE_OBJECT),
  )
  return {
    kind: 'Event',
    apiVersion: 'audit.k8s.io/v1',
    level: detail.level,
    auditID: exchange.id,
    stage,
    requestURI: query === '' ? exchange.path : `${exchange.path}?${query}`,
    verb: info.verb,
    user: user === undefined ? { username: '' } : auditUser(user),
    ...(impersonated === undefined ? {} : { impersonatedUser: auditUser(impersonated) }),
    sourceIPs: [exchange.remoteAddress],
    ...(agent === undefined ? {} : { userAgent: agent }),
    ...(ref === undefined ? {} : { objectRef: ref }),
    ...(withRequest && requestObject !== undefined
      ? { requestObject: shown(requestObject, detail) }
      : {}),
    ...more,
    requestReceivedTimestamp: receivedAt,
    stageTimestamp,
    ...(notes.length === 0 ? {} : { annotations: Object.fromEntries(notes) }),
  }
}
