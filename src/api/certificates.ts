/** The group certificates.k8s.io: requests that someone else must sign. */
import {
  timestamp,
  FieldPath,
  duplicate,
  forbiddenField,
  humanDuration,
  invalidValue,
  notSupported,
  required,
  type FieldError,
  type StrategyContext,
} from '#machinery'
import { decodeBase64 } from './base64.ts'
import { NONE } from './columns.ts'
import { defineResource } from './define.ts'
import { typeTable } from './facts.ts'
import { equal } from './equal.ts'
import type { Mutable } from './mutable.ts'
import { certificateSigningRequests as requestsRef } from './resources.gen.ts'
import { validateSignerName } from './trust.ts'
import type { CertificateSigningRequest, CertificateSigningRequestCondition } from './types.gen.ts'

const path = FieldPath.of('spec')
const MIN_SECONDS = 600
const DECISIONS = new Set(['Approved', 'Denied', 'Failed'])
const USAGES: readonly string[] =
  typeTable['io.k8s.api.certificates.v1.CertificateSigningRequestSpec']?.fields?.find(
    ({ name }) => name === 'usages',
  )?.enum ?? []

function validate({ spec, status }: CertificateSigningRequest): readonly FieldError[] {
  const errors: FieldError[] = []
  const pem = decodeBase64(spec.request)
  if (!pem.includes('-----BEGIN CERTIFICATE REQUEST-----')) {
    errors.push(
      invalidValue(
        path.child('request'),
        spec.request,
        'PEM block type must be CERTIFICATE REQUEST',
      ),
    )
  }
  const usages = spec.usages ?? []
  if (usages.length === 0) errors.push(required(path.child('usages')))
  for (const [i, usage] of usages.entries()) {
    const at = path.child('usages').index(i)
    if (!USAGES.includes(usage)) errors.push(notSupported(at, usage, USAGES))
    else if (usages.indexOf(usage) < i) {
      errors.push({
        type: 'FieldValueDuplicate',
        field: at.toString(),
        detail: `Duplicate value: ${JSON.stringify(usage)}`,
      })
    }
  }
  errors.push(...validateSignerName(spec.signerName, path.child('signerName')))
  const seconds = spec.expirationSeconds
  if (seconds !== undefined && seconds < MIN_SECONDS) {
    errors.push(
      invalidValue(
        path.child('expirationSeconds'),
        seconds,
        'may not specify a duration less than 600 seconds (10 minutes)',
      ),
    )
  }
  return [...errors, ...validateConditions(status?.conditions ?? [])]
}

function validateConditions(
  conditions: readonly CertificateSigningRequestCondition[],
): readonly FieldError[] {
  const errors: FieldError[] = []
  const list = FieldPath.of('status', 'conditions')
  for (const [i, { type, status }] of conditions.entries()) {
    const at = list.index(i)
    if (type === '') errors.push(required(at.child('type')))
    if (conditions.findIndex((each) => each.type === type) < i)
      errors.push(duplicate(at.child('type'), type))
    if (DECISIONS.has(type) && status !== 'True') {
      errors.push(
        status === ''
          ? required(at.child('status'))
          : notSupported(at.child('status'), status, ['True']),
      )
    }
  }
  const types = new Set(conditions.map(({ type }) => type))
  if (types.has('Approved') && types.has('Denied')) {
    errors.push(
      invalidValue(list, 'Denied', 'Approved and Denied conditions are mutually exclusive'),
    )
  }
  return errors
}

/** Who asks is recorded, whatever the request claims. */
function signWithUser(
  { spec }: Mutable<CertificateSigningRequest>,
  { user }: Pick<StrategyContext, 'user'>,
): void {
  spec.username = user.name
  if (user.uid === undefined || user.uid === '') delete spec.uid
  else spec.uid = user.uid
  if (user.groups.length > 0) spec.groups = [...user.groups]
  else delete spec.groups
  const extra = Object.entries(user.extra ?? {})
  if (extra.length > 0) {
    spec.extra = Object.fromEntries(extra.map(([key, values]) => [key, [...values]]))
  } else delete spec.extra
}

const isDecision = ({ type }: { readonly type: string }): boolean =>
  type === 'Approved' || type === 'Denied'

function prepareForUpdate(
  request: Mutable<CertificateSigningRequest>,
  old: CertificateSigningRequest,
  { subresource, now }: StrategyContext,
): void {
  const before = structuredClone(old) as Mutable<CertificateSigningRequest>
  request.spec = before.spec
  if (subresource === 'approval') {
    // Only the conditions: the certificate is the signer's to write.
    const conditions = request.status?.conditions ?? []
    const { conditions: _, ...status } = before.status ?? {}
    request.status = { ...status, ...(conditions.length > 0 ? { conditions } : {}) }
  } else if (subresource === 'status') {
    // The signer cannot approve its own work.
    const asked = request.status?.conditions ?? []
    const decisions = (before.status?.conditions ?? []).filter(isDecision)
    const conditions = equal(asked.filter(isDecision), decisions)
      ? asked
      : [...decisions, ...asked.filter((each) => !isDecision(each))]
    request.status = { ...request.status }
    if (conditions.length > 0) request.status.conditions = conditions
    else delete request.status.conditions
  }
  stamp(request, old, now)
}

/** Times of conditions that the writer left open. */
function stamp(
  { status }: Mutable<CertificateSigningRequest>,
  old: CertificateSigningRequest,
  now: Date,
): void {
  const time = timestamp(now)
  for (const condition of status?.conditions ?? []) {
    const was = old.status?.conditions?.find(({ type }) => type === condition.type)
    if (was && equal(was, condition)) continue
    condition.lastUpdateTime ??= time
    condition.lastTransitionTime ??=
      was?.status === condition.status ? (was.lastTransitionTime ?? time) : time
  }
}

function conditionText({ status }: CertificateSigningRequest): string {
  const types = new Set((status?.conditions ?? []).map(({ type }) => type))
  const words: string[] = []
  if (types.has('Denied')) words.push('Denied')
  else if (types.has('Approved')) words.push('Approved')
  else words.push('Pending')
  if (types.has('Failed')) words.push('Failed')
  if ((status?.certificate ?? '') !== '') words.push('Issued')
  return words.join(',')
}

/** What was decided stays decided. */
const removedDecisions = (
  now: CertificateSigningRequest,
  old: CertificateSigningRequest,
): readonly FieldError[] =>
  (old.status?.conditions ?? [])
    .filter(({ type }) => DECISIONS.has(type))
    .filter(({ type }) => now.status?.conditions?.every((each) => each.type !== type) ?? true)
    .map(({ type }) =>
      forbiddenField(
        FieldPath.of('status', 'conditions'),
        `updates may not remove a condition of type ${JSON.stringify(type)}`,
      ),
    )

const certificateSigningRequests = defineResource(requestsRef, {
  validate,
  validateUpdate: (now, old, { subresource }) => {
    const removed = removedDecisions(now, old)
    if (removed.length > 0) return removed
    const was = old.status?.certificate ?? ''
    if (subresource === 'status' && was !== '' && now.status?.certificate !== was) {
      return [
        invalidValue(
          FieldPath.of('status', 'certificate'),
          '<certificate data>',
          'field is immutable',
        ),
      ]
    }
    return []
  },
  prepareForCreate: signWithUser,
  prepareForUpdate,
  fields: ({ spec }) => ({ 'spec.signerName': spec.signerName }),
  cells: {
    SignerName: ({ spec }) => spec.signerName,
    Requestor: ({ spec }) => spec.username ?? '',
    RequestedDuration: ({ spec }) =>
      spec.expirationSeconds === undefined ? NONE : humanDuration(spec.expirationSeconds * 1000),
    Condition: conditionText,
  },
})

export const certificates = [certificateSigningRequests]
