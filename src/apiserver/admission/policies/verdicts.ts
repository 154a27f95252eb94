/** What becomes of a request that a policy refuses: the words, the reason, the code. */
import { StatusError, type Status } from '#machinery'
import type { AdmissionRequest } from '../../admission.ts'
import { nameOf, refuse, resourceOf } from '../words.ts'

export interface Denial {
  readonly policy: string
  /** Absent when the policy itself is at fault. */
  readonly binding: string | undefined
  readonly message: string
  /** Of the Status; 'Invalid' when nothing is said. */
  readonly reason?: string
}

const CODES: Readonly<Record<string, number>> = {
  Forbidden: 403,
  Unauthorized: 401,
  RequestEntityTooLarge: 413,
  Invalid: 422,
}

const withBinding = (binding: string | undefined): string =>
  binding === undefined ? '' : ` with binding '${binding}'`

/** Of a validating policy: the first denial decides. */
export function denied(request: AdmissionRequest, denial: Denial): StatusError {
  const { policy, binding, message, reason = 'Invalid' } = denial
  const text = `ValidatingAdmissionPolicy '${policy}'${withBinding(binding)} denied request: ${message}`
  const { status } = refuse(request, text)
  return StatusError.from({
    ...status,
    reason,
    code: CODES[reason] ?? 422,
    details: {
      ...detailsOf(request),
      causes: [{ message: text }],
    },
  } as Status)
}

/** Of mutating policies: all that went wrong is told, the first in front. */
export function failed(request: AdmissionRequest, denials: readonly Denial[]): StatusError {
  const texts = denials.map(({ policy, binding, message }) =>
    binding === undefined
      ? `policy ${JSON.stringify(policy)} denied request: ${message}`
      : `policy '${policy}' with binding '${binding}' denied request: ${message}`,
  )
  const { status } = refuse(request, '')
  return StatusError.from({
    ...status,
    message: texts[0] ?? '',
    reason: denials[0]?.reason ?? status.reason,
    code: 403,
    details: {
      ...detailsOf(request),
      causes: texts.map((message) => ({ message })),
    },
  } as Status)
}

function detailsOf(request: AdmissionRequest) {
  const { group, resource } = resourceOf(request)
  return {
    name: nameOf(request),
    ...(group === '' ? {} : { group }),
    kind: resource,
  }
}
