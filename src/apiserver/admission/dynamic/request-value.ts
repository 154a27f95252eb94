/** What expressions see besides the objects: the request and the namespace, and what their fields are. */
import type { Namespace } from '#api'
import { objectOf as fields } from '#cel'
import type { JsonObject, RequestUser } from '#machinery'
import type { AdmissionRequest } from '../../admission.ts'
import { kindOf, namespaceOf, resourceOf, type View } from './view.ts'

const text = { type: 'string' }
const texts = { type: 'array', items: text }
const KIND = fields({ group: text, version: text, kind: text })
const RESOURCE = fields({ group: text, version: text, resource: text })

/** Of `request`. */
export const REQUEST_SCHEMA: JsonObject = fields({
  kind: KIND,
  resource: RESOURCE,
  subResource: text,
  requestKind: KIND,
  requestResource: RESOURCE,
  requestSubResource: text,
  name: text,
  namespace: text,
  operation: text,
  userInfo: fields({
    username: text,
    uid: text,
    groups: texts,
    extra: { type: 'object', additionalProperties: texts },
  }),
  dryRun: { type: 'boolean' },
  options: {},
})

const TIME = { type: 'string', format: 'date-time' }
const COUNT = { type: 'integer' }
const TEXT_MAP = { type: 'object', additionalProperties: text }

/** Of `namespaceObject`. */
export const NAMESPACE_SCHEMA: JsonObject = fields({
  metadata: fields({
    name: text,
    generateName: text,
    namespace: text,
    labels: TEXT_MAP,
    annotations: TEXT_MAP,
    UID: text,
    creationTimestamp: TIME,
    deletionGracePeriodSeconds: COUNT,
    deletionTimestamp: TIME,
    generation: COUNT,
    resourceVersion: text,
    finalizers: texts,
  }),
  spec: fields({ finalizers: texts }),
  status: fields({ phase: text }),
})

const userValue = ({ name, uid = '', groups, extra = {} }: RequestUser): JsonObject => ({
  username: name,
  uid,
  groups,
  extra,
})

export function requestValue(request: AdmissionRequest, view: View): JsonObject {
  const { definition, subresource, name, operation, user, dryRun, options } = request
  return {
    kind: view.kind,
    resource: view.resource,
    subResource: subresource,
    requestKind: kindOf(request, definition),
    requestResource: resourceOf(definition),
    requestSubResource: subresource,
    name,
    namespace: namespaceOf(request),
    operation,
    userInfo: userValue(user),
    dryRun,
    ...(options === undefined ? {} : { options }),
  }
}

export const namespaceValue = ({ metadata, spec, status }: Namespace): JsonObject => ({
  metadata: { ...metadata, UID: metadata.uid },
  spec: spec ?? {},
  status: status ?? {},
})
