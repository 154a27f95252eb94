/** How a webhook says no, and how its failures are told. */
import { StatusError, badRequest, internalError, type Status } from '#machinery'

/** A webhook that gave no usable answer: whether that matters is for its failure policy to say. */
export class WebhookFailure extends Error {
  constructor(webhook: string, reason: string) {
    super(`failed calling webhook ${JSON.stringify(webhook)}: ${reason}`)
  }
}

export const failed = ({ message }: WebhookFailure): StatusError => internalError(message)

/** The webhook's own status, made into a refusal whatever it says. */
export function denied(webhook: string, given: Partial<Status> = {}): StatusError {
  const by = `admission webhook ${JSON.stringify(webhook)} denied the request`
  const { message = '', reason = '', code = 0 } = given
  const why = message === '' ? reason : message
  return StatusError.from({
    ...given,
    kind: 'Status',
    apiVersion: 'v1',
    metadata: given.metadata ?? {},
    status: 'Failure',
    message: why === '' ? `${by} without explanation` : `${by}: ${why}`,
    code: code < 400 ? 400 : code,
  })
}

export const noDryRun = (webhook: string): StatusError =>
  badRequest(`admission webhook ${JSON.stringify(webhook)} does not support dry run`)

export const cannotModify = (webhook: string): StatusError =>
  internalError(
    `admission webhook ${JSON.stringify(webhook)} attempted to modify the object, which is not supported for this operation`,
  )

export const requestEnded = (): StatusError =>
  new StatusError('Timeout', 'request did not complete within requested timeout', { details: {} })
