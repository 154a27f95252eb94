/** AdmissionReview: what a webhook is asked, and what it may answer. */
import { toWireForm } from '#api'
import { parseJson, type JsonObject, type RequestUser, type Status } from '#machinery'
import type { AdmissionRequest } from '../../admission.ts'
import { isObject } from '../../json.ts'
import { kindOf, namespaceOf, resourceOf, type View } from '../dynamic/view.ts'

const GROUP = 'admission.k8s.io'
const VERSIONS: readonly string[] = ['v1', 'v1beta1']

/** The first of the webhook's versions that is spoken here. */
export const reviewVersion = (versions: readonly string[]): string | undefined =>
  versions.find((version) => VERSIONS.includes(version))

export function reviewOf(
  request: AdmissionRequest,
  view: View,
  version: string,
  uid: string,
): JsonObject {
  const { definition, subresource, name, operation, user, dryRun, options } = request
  const namespace = namespaceOf(request)
  const sub = (key: string): JsonObject => (subresource === '' ? {} : { [key]: subresource })
  return {
    kind: 'AdmissionReview',
    apiVersion: `${GROUP}/${version}`,
    request: {
      uid,
      kind: view.kind,
      resource: view.resource,
      ...sub('subResource'),
      requestKind: kindOf(request, definition),
      requestResource: resourceOf(definition),
      ...sub('requestSubResource'),
      ...(name === '' ? {} : { name }),
      ...(namespace === '' ? {} : { namespace }),
      operation,
      userInfo: userInfo(user),
      object: view.object === undefined ? null : toWireForm(view.object),
      oldObject: view.old === undefined ? null : toWireForm(view.old),
      dryRun,
      options: options ?? null,
    },
  }
}

const userInfo = ({ name, uid, groups, extra }: RequestUser): JsonObject => ({
  ...(name === '' ? {} : { username: name }),
  ...(uid === undefined || uid === '' ? {} : { uid }),
  ...(groups.length === 0 ? {} : { groups }),
  ...(extra === undefined || Object.keys(extra).length === 0 ? {} : { extra }),
})

export interface Verdict {
  readonly allowed: boolean
  readonly status: Partial<Status> | undefined
  /** Operations of RFC 6902. */
  readonly patch: unknown
  readonly warnings: readonly string[]
  readonly auditAnnotations: Readonly<Record<string, string>>
}

export class InvalidAnswer extends Error {}

/** Throws an `InvalidAnswer` whose message says what is wrong. */
export function verdictOf(review: JsonObject, version: string, uid: string): Verdict {
  const { kind, apiVersion, response } = review
  const expected = `${GROUP}/${version}, Kind=AdmissionReview`
  const isOld = version === 'v1beta1'
  // The old version may leave out what it is.
  const wrongKind = !(isOld && kind === undefined) && kind !== 'AdmissionReview'
  const wrongVersion = !(isOld && apiVersion === undefined) && apiVersion !== `${GROUP}/${version}`
  if (wrongKind || wrongVersion)
    throw new InvalidAnswer(
      `expected webhook response of ${expected}, got ${text(apiVersion)}, Kind=${text(kind)}`,
    )
  if (!isObject(response)) throw new InvalidAnswer('webhook response was absent')
  if (!isOld && response['uid'] !== uid)
    throw new InvalidAnswer(
      `expected response.uid=${quote(uid)}, got ${quote(text(response['uid']))}`,
    )
  return {
    allowed: response['allowed'] === true,
    status: isObject(response['status']) ? (response['status'] as Partial<Status>) : undefined,
    patch: patchOf(response, isOld),
    warnings: Array.isArray(response['warnings']) ? response['warnings'].map(text) : [],
    auditAnnotations: isObject(response['auditAnnotations'])
      ? (response['auditAnnotations'] as Record<string, string>)
      : {},
  }
}

function patchOf({ patch, patchType }: JsonObject, isOld: boolean): unknown {
  const hasPatch = typeof patch === 'string' && patch !== ''
  if (!isOld) {
    if (hasPatch && patchType === undefined)
      throw new InvalidAnswer('webhook returned response.patch but not response.patchType')
    if (!hasPatch && patchType !== undefined && patchType !== null)
      throw new InvalidAnswer('webhook returned response.patchType but not response.patch')
  }
  if (!hasPatch) return undefined
  if (patchType !== undefined && patchType !== null && patchType !== 'JSONPatch')
    throw new InvalidAnswer(
      `webhook returned invalid response.patchType of ${quote(text(patchType))}`,
    )
  const bytes = Buffer.from(patch, 'base64').toString('utf8')
  try {
    return parseJson(bytes)
  } catch {
    throw new InvalidAnswer('response.patch is not JSON')
  }
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '')
const quote = (value: string): string => JSON.stringify(value)
