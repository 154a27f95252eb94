/** Errors as clients see them: a `Status` object in Kubernetes' own words. */
import type { Status, StatusCause, StatusDetails } from './meta.gen.ts'
import type { FieldError } from './field.ts'

/** Why a request failed, in a word for programs (meta/v1 StatusReason). */
export type StatusReason =
  | 'BadRequest'
  | 'Unauthorized'
  | 'Forbidden'
  | 'NotFound'
  | 'AlreadyExists'
  | 'Conflict'
  | 'Gone'
  | 'Expired'
  | 'Invalid'
  | 'ServerTimeout'
  | 'Timeout'
  | 'TooManyRequests'
  | 'MethodNotAllowed'
  | 'NotAcceptable'
  | 'RequestEntityTooLarge'
  | 'UnsupportedMediaType'
  | 'InternalError'
  | 'ServiceUnavailable'
  | 'StoreReadError'

const CODES: Readonly<Record<StatusReason, number>> = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  AlreadyExists: 409,
  Conflict: 409,
  Gone: 410,
  Expired: 410,
  Invalid: 422,
  ServerTimeout: 500,
  Timeout: 504,
  TooManyRequests: 429,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  RequestEntityTooLarge: 413,
  UnsupportedMediaType: 415,
  InternalError: 500,
  ServiceUnavailable: 503,
  StoreReadError: 500,
}

/** An answer that is a failure, thrown by whoever finds it: `status` is its body. */
export class StatusError extends Error {
  readonly status: Status
  constructor(
    reason: StatusReason | '',
    message: string,
    options: { details?: StatusDetails; code?: number; metadata?: Status['metadata'] } = {},
  ) {
    super(message)
    this.name = 'StatusError'
    this.status = {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: options.metadata ?? {},
      status: 'Failure',
      message,
      ...(reason === '' ? {} : { reason }),
      ...(options.details ? { details: options.details } : {}),
      code: options.code ?? (reason === '' ? 500 : CODES[reason]),
    }
  }
  get code(): number {
    return this.status.code ?? 500
  }
  get reason(): string {
    return this.status.reason ?? ''
  }
  /** Rebuilds the error from a Status that a server answered. */
  static from(status: Status): StatusError {
    const error = new StatusError('', status.message ?? 'unknown error', {
      code: status.code ?? 500,
    })
    Object.assign(error, { status })
    return error
  }
}

/** Whether the error is an answer of a server for this reason. */
export const isStatus = (error: unknown, reason: StatusReason): error is StatusError =>
  error instanceof StatusError && error.reason === reason

/** Whose name stands in the words of a failure. */
export interface GroupResource {
  readonly group: string
  readonly resource: string
}
const qualified = ({ group, resource }: GroupResource): string =>
  group === '' ? resource : `${resource}.${group}`
const detailsOf = (target: GroupResource, name: string, kind = target.resource): StatusDetails => ({
  ...(name === '' ? {} : { name }),
  ...(target.group === '' ? {} : { group: target.group }),
  kind,
})

/** 404. */
export const notFound = (target: GroupResource, name: string): StatusError =>
  new StatusError('NotFound', `${qualified(target)} "${name}" not found`, {
    details: detailsOf(target, name),
  })
/** 409: there is one of this name. */
export const alreadyExists = (target: GroupResource, name: string): StatusError =>
  new StatusError('AlreadyExists', `${qualified(target)} "${name}" already exists`, {
    details: detailsOf(target, name),
  })
/** 409: what is there is not what the writer thought. */
export const conflict = (target: GroupResource, name: string, why: string): StatusError =>
  new StatusError(
    'Conflict',
    `Operation cannot be fulfilled on ${qualified(target)} "${name}": ${why}`,
    { details: detailsOf(target, name) },
  )
/** The words of an update that lost a race, which clients look for. */
export const STALE_OBJECT =
  'the object has been modified; please apply your changes to the latest version and try again'
/** 403. */
export const forbidden = (target: GroupResource, name: string, why: string): StatusError =>
  new StatusError(
    'Forbidden',
    `${qualified(target)}${name === '' ? '' : ` "${name}"`} is forbidden: ${why}`,
    { details: detailsOf(target, name) },
  )
/** 400. */
export const badRequest = (message: string): StatusError => new StatusError('BadRequest', message)
/** 500. */
export const internalError = (message: string): StatusError =>
  new StatusError('InternalError', `Internal error occurred: ${message}`, {
    details: { causes: [{ message }] },
  })
/** 410: the revision is too long ago. */
export const expired = (message: string): StatusError => new StatusError('Expired', message)
/** 429, with `Retry-After`. */
export const tooManyRequests = (message: string, retryAfterSeconds: number): StatusError =>
  new StatusError('TooManyRequests', message, { details: { retryAfterSeconds } })

/** 422 with a cause per field error: `Pod "web" is invalid: spec.containers: Required value`. */
export function invalid(
  kind: { group: string; kind: string },
  name: string,
  found: readonly FieldError[],
): StatusError {
  // What two rules say in the same words is said once.
  const errors = [...new Map(found.map((e) => [`${e.field}: ${e.detail}`, e])).entries()]
  const causes: StatusCause[] = errors.map(([, e]) => ({
    reason: e.type,
    message: e.detail,
    field: e.field,
  }))
  const texts = errors.map(([text]) => text)
  const shown = texts.length === 1 ? texts[0] : `[${texts.join(', ')}]`
  return new StatusError(
    'Invalid',
    `${kind.kind}${kind.group === '' ? '' : `.${kind.group}`} "${name}" is invalid: ${shown}`,
    {
      details: {
        ...(name === '' ? {} : { name }),
        ...(kind.group === '' ? {} : { group: kind.group }),
        kind: kind.kind,
        causes,
      },
    },
  )
}
