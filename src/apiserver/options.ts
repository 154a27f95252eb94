/** What the query of a request says, checked as upstream checks it. */
import {
  deepFreeze,
  FieldPath,
  badRequest,
  forbiddenField,
  invalid,
  invalidValue,
  notSupported,
  type FieldError,
  type JsonObject,
} from '#machinery'
import { textOf } from './json.ts'
import { isTrue } from './requests.ts'

const META = 'meta.k8s.io'

export interface ListOptions {
  readonly labelSelector: string
  readonly fieldSelector: string
  /** Absent reads the newest state, 0 any, others at least (or exactly) this one. */
  readonly revision: number | undefined
  readonly match: '' | 'Exact' | 'NotOlderThan'
  /** 0 is without limit. */
  readonly limit: number
  readonly continue: string
  readonly allowBookmarks: boolean
  readonly timeoutSeconds: number | undefined
  readonly sendInitialEvents: boolean | undefined
}

const number = (query: URLSearchParams, name: string): number | undefined => {
  const text = query.get(name)
  if (text === null || text === '') return undefined
  if (!/^[+-]?\d+$/.test(text))
    throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`)
  return Number(text)
}

export function parseRevision(text: string, listing = false): number | undefined {
  if (text === '') return undefined
  if (/^\d{1,16}$/.test(text)) return Number(text)
  const error = invalidValue(
    FieldPath.of('resourceVersion'),
    text,
    `strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`,
  )
  throw listing
    ? badRequest(`invalid resource version: ${error.field}: ${error.detail}`)
    : invalid({ group: META, kind: 'ListOptions' }, '', [error])
}

export function parseListOptions(query: URLSearchParams, watching: boolean): ListOptions {
  const match = query.get('resourceVersionMatch') ?? ''
  const revisionText = query.get('resourceVersion') ?? ''
  const initial = query.get('sendInitialEvents')
  const sendInitialEvents = initial === null ? undefined : isTrue(initial)
  const continued = query.get('continue') ?? ''
  const errors = watching
    ? watchErrors(match, continued, sendInitialEvents)
    : listErrors(match, revisionText, continued, sendInitialEvents)
  if (errors.length > 0) throw invalid({ group: META, kind: 'ListOptions' }, '', errors)
  const revision = parseRevision(revisionText, !watching)
  if (continued !== '' && revision !== undefined && revision > 0)
    throw badRequest('specifying resource version is not allowed when using continue')
  return {
    labelSelector: query.get('labelSelector') ?? '',
    fieldSelector: query.get('fieldSelector') ?? '',
    revision,
    match: match as ListOptions['match'],
    limit: Math.max(0, number(query, 'limit') ?? 0),
    continue: continued,
    allowBookmarks: isTrue(query.get('allowWatchBookmarks')),
    timeoutSeconds: number(query, 'timeoutSeconds'),
    sendInitialEvents,
  }
}

const MATCH = FieldPath.of('resourceVersionMatch')
const CONTINUED_MATCH = 'resourceVersionMatch is forbidden when continue is provided'

function watchErrors(
  match: string,
  continued: string,
  sendInitialEvents: boolean | undefined,
): readonly FieldError[] {
  const errors: FieldError[] = []
  if (sendInitialEvents !== undefined && match !== 'NotOlderThan')
    errors.push(
      forbiddenField(
        MATCH,
        'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan',
      ),
    )
  if (match !== '') {
    if (sendInitialEvents === undefined)
      errors.push(
        forbiddenField(
          MATCH,
          'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided',
        ),
      )
    if (match !== 'NotOlderThan') errors.push(notSupported(MATCH, match, ['NotOlderThan']))
    if (continued !== '') errors.push(forbiddenField(MATCH, CONTINUED_MATCH))
  }
  return errors
}

function listErrors(
  match: string,
  revision: string,
  continued: string,
  sendInitialEvents: boolean | undefined,
): readonly FieldError[] {
  const errors: FieldError[] = []
  if (sendInitialEvents !== undefined)
    errors.push(
      forbiddenField(FieldPath.of('sendInitialEvents'), 'sendInitialEvents is forbidden for list'),
    )
  if (match !== '') {
    if (revision === '')
      errors.push(
        forbiddenField(
          MATCH,
          'resourceVersionMatch is forbidden unless resourceVersion is provided',
        ),
      )
    if (continued !== '') errors.push(forbiddenField(MATCH, CONTINUED_MATCH))
    if (match !== 'Exact' && match !== 'NotOlderThan')
      errors.push(notSupported(MATCH, match, ['Exact', 'NotOlderThan', '']))
    if (match === 'Exact' && revision === '0')
      errors.push(
        forbiddenField(MATCH, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'),
      )
  }
  return errors
}

export type FieldValidation = 'Strict' | 'Warn' | 'Ignore'

export interface WriteOptions {
  readonly dryRun: boolean
  /** As given: '' when the client's program name counts instead. */
  readonly fieldManager: string
  readonly fieldValidation: FieldValidation
  /** For apply only. */
  readonly force: boolean | undefined
  /** The same as an object, for admission. */
  readonly asObject: JsonObject
}

const VALIDATIONS: readonly string[] = ['Ignore', 'Strict', 'Warn']
const LONGEST_MANAGER = 128

type WriteOptionsKind = 'CreateOptions' | 'UpdateOptions' | 'PatchOptions'

export function parseWriteOptions(
  query: URLSearchParams,
  kind: WriteOptionsKind,
  isApply = false,
): WriteOptions {
  if (query.size > 0 || isApply) return readWriteOptions(query, kind, isApply)
  // Most writes say nothing.
  return (unsaid[kind] ??= deepFreeze(readWriteOptions(query, kind, false)))
}

const unsaid: Partial<Record<WriteOptionsKind, WriteOptions>> = {}

function readWriteOptions(
  query: URLSearchParams,
  kind: WriteOptionsKind,
  isApply: boolean,
): WriteOptions {
  const dryRun = query.getAll('dryRun').filter((value) => value !== '')
  const fieldManager = query.get('fieldManager') ?? ''
  const fieldValidation = query.get('fieldValidation') ?? ''
  const forced = query.get('force')
  const errors: FieldError[] = [...dryRunErrors(dryRun)]
  const manager = FieldPath.of('fieldManager')
  if (Buffer.byteLength(fieldManager) > LONGEST_MANAGER)
    errors.push({
      type: 'FieldValueTooLong',
      field: manager.text,
      detail: `Too long: may not be more than ${LONGEST_MANAGER} bytes`,
    })
  if (/\p{Cc}/u.test(fieldManager))
    errors.push(invalidValue(manager, fieldManager, 'should only contain printable characters'))
  if (fieldValidation !== '' && !VALIDATIONS.includes(fieldValidation))
    errors.push(
      notSupported(FieldPath.of('fieldValidation'), fieldValidation, ['', ...VALIDATIONS]),
    )
  if (kind === 'PatchOptions') {
    if (isApply && fieldManager === '')
      errors.push({
        type: 'FieldValueRequired',
        field: manager.text,
        detail: 'Required value: is required for apply patch',
      })
    if (!isApply && forced !== null)
      errors.push(forbiddenField(FieldPath.of('force'), 'may not be specified for non-apply patch'))
  }
  if (errors.length > 0) throw invalid({ group: META, kind }, '', errors)
  return {
    dryRun: dryRun.length > 0,
    fieldManager,
    fieldValidation: fieldValidation === '' ? 'Warn' : (fieldValidation as FieldValidation),
    force: forced === null ? undefined : isTrue(forced),
    asObject: {
      kind,
      apiVersion: `${META}/v1`,
      ...(dryRun.length > 0 ? { dryRun } : {}),
      ...(fieldManager === '' ? {} : { fieldManager }),
      ...(fieldValidation === '' ? {} : { fieldValidation }),
      ...(forced === null ? {} : { force: isTrue(forced) }),
    },
  }
}

function dryRunErrors(values: readonly string[]): readonly FieldError[] {
  return values.every((value) => value === 'All')
    ? []
    : [notSupported(FieldPath.of('dryRun'), values, ['All'])]
}

export interface DeleteOptions {
  readonly dryRun: boolean
  readonly graceSeconds: number | undefined
  readonly uid: string | undefined
  readonly resourceVersion: string | undefined
  readonly propagation: 'Orphan' | 'Background' | 'Foreground' | undefined
  readonly asObject: JsonObject
}

const POLICIES = ['Foreground', 'Background', 'Orphan']

/** From the body when there is one, otherwise from the query. */
export function parseDeleteOptions(
  body: JsonObject | undefined,
  query: URLSearchParams,
): DeleteOptions {
  const given: JsonObject = body ?? optionsOfQuery(query)
  const { gracePeriodSeconds, preconditions, orphanDependents, propagationPolicy, dryRun } = given
  const dryRuns = (Array.isArray(dryRun) ? dryRun : []).map(String)
  const errors: FieldError[] = [...dryRunErrors(dryRuns)]
  const policy = FieldPath.of('propagationPolicy')
  if (propagationPolicy !== undefined && orphanDependents !== undefined)
    errors.push(
      invalidValue(
        policy,
        propagationPolicy,
        'orphanDependents and deletionPropagation cannot be both set',
      ),
    )
  if (propagationPolicy !== undefined && !POLICIES.includes(textOf(propagationPolicy)))
    errors.push(notSupported(policy, propagationPolicy, [...POLICIES, 'nil']))
  if (errors.length > 0) throw invalid({ group: META, kind: 'DeleteOptions' }, '', errors)
  const { uid, resourceVersion } = (preconditions ?? {}) as {
    uid?: string
    resourceVersion?: string
  }
  const legacy =
    orphanDependents === undefined ? undefined : orphanDependents === true ? 'Orphan' : 'Background'
  return {
    dryRun: dryRuns.length > 0,
    graceSeconds:
      typeof gracePeriodSeconds === 'number' || typeof gracePeriodSeconds === 'bigint'
        ? Number(gracePeriodSeconds)
        : undefined,
    uid: uid === undefined ? undefined : String(uid),
    resourceVersion: resourceVersion === undefined ? undefined : String(resourceVersion),
    propagation: (propagationPolicy as DeleteOptions['propagation']) ?? legacy,
    // A body may be written in the version of any group: those who are asked see one.
    asObject: { ...given, kind: 'DeleteOptions', apiVersion: `${META}/v1` },
  }
}

function optionsOfQuery(query: URLSearchParams): JsonObject {
  const options: JsonObject = {}
  const grace = number(query, 'gracePeriodSeconds')
  if (grace !== undefined) options['gracePeriodSeconds'] = grace
  const orphan = query.get('orphanDependents')
  if (orphan !== null) options['orphanDependents'] = isTrue(orphan)
  const policy = query.get('propagationPolicy')
  if (policy !== null && policy !== '') options['propagationPolicy'] = policy
  const dryRun = query.getAll('dryRun').filter((value) => value !== '')
  if (dryRun.length > 0) options['dryRun'] = dryRun
  const uid = query.get('preconditions.uid')
  const resourceVersion = query.get('preconditions.resourceVersion')
  if (uid !== null || resourceVersion !== null)
    options['preconditions'] = {
      ...(uid === null ? {} : { uid }),
      ...(resourceVersion === null ? {} : { resourceVersion }),
    }
  return options
}
