/** Events: one kind in two groups, stored in the form of the older. */
import {
  ageOf,
  FieldPath,
  invalidValue,
  required,
  type FieldError,
  type JsonObject,
  type KubeObject,
} from '#machinery'
import { defineResource } from '../define.ts'
import { equal } from '../equal.ts'
import { events as eventsRef, eventsV1Events as newEventsRef } from '../resources.gen.ts'
import { check, qualifiedName } from '../rules.ts'
import type { Event, EventsV1Event, ObjectReference } from '../types.gen.ts'

const PREFIX = '/registry/events/'
const kindText = ({ kind = '', name = '' }: ObjectReference): string =>
  name === '' ? kind.toLowerCase() : `${kind.toLowerCase()}/${name}`

const MAX_NOTE = 1024
const MAX_WORD = 128

/** An event lives with what it is about; of things without a namespace, in `default`. */
function validateNamespace(
  event: KubeObject,
  about: ObjectReference,
  path: FieldPath,
): readonly FieldError[] {
  const namespace = event.metadata.namespace ?? ''
  const own = about.namespace ?? ''
  if (
    own === ''
      ? namespace === '' || namespace === 'default' || namespace === 'kube-system'
      : namespace === own
  ) {
    return []
  }
  return [invalidValue(path.child('namespace'), own, 'does not match event.namespace')]
}

/** An event of the newer kind says who reports it and what was done; so does one of the older that has its time. */
function validateReport(
  event: Partial<Record<'reportingInstance' | 'action' | 'reason', string>>,
  {
    reporter,
    reporterField,
    text = '',
  }: {
    readonly reporter: string
    readonly reporterField: string
    readonly text?: string | undefined
  },
): readonly FieldError[] {
  const errors: FieldError[] = []
  const at = FieldPath.of(reporterField)
  if (reporter === '') errors.push(required(at))
  errors.push(...check(at, reporter, qualifiedName))
  for (const name of ['reportingInstance', 'action', 'reason'] as const) {
    const value = event[name] ?? ''
    if (value === '') errors.push(required(FieldPath.of(name)))
    if (value.length > MAX_WORD)
      errors.push(invalidValue(FieldPath.of(name), '', `can have at most ${MAX_WORD} characters`))
  }
  if (text.length > MAX_NOTE)
    errors.push(
      invalidValue(FieldPath.of('message'), '', `can have at most ${MAX_NOTE} characters`),
    )
  return errors
}

const isSet = (time: unknown): boolean => time !== undefined && time !== null && time !== ''

function validateNew(event: EventsV1Event): readonly FieldError[] {
  const errors: FieldError[] = []
  if (isSet(event.eventTime))
    errors.push(
      ...validateReport(event, {
        reporter: event.reportingController ?? '',
        reporterField: 'reportingController',
        text: event.note,
      }),
    )
  if (event.series !== undefined) {
    const { count, lastObservedTime } = event.series
    const at = FieldPath.of('series')
    if (count < 2) errors.push(invalidValue(at.child('count'), '', 'should be at least 2'))
    if (!isSet(lastObservedTime)) errors.push(required(at.child('lastObservedTime')))
  }
  if (!isSet(event.eventTime)) errors.push(required(FieldPath.of('eventTime')))
  if (event.type !== 'Normal' && event.type !== 'Warning')
    errors.push(invalidValue(FieldPath.of('type'), '', `has invalid value: ${event.type ?? ''}`))
  const { component = '', host = '' } = event.deprecatedSource ?? {}
  for (const [name, isGiven] of [
    ['firstTimestamp', isSet(event.deprecatedFirstTimestamp)],
    ['lastTimestamp', isSet(event.deprecatedLastTimestamp)],
    ['count', (event.deprecatedCount ?? 0) !== 0],
    ['source', component !== '' || host !== ''],
  ] as const)
    if (isGiven) errors.push(invalidValue(FieldPath.of(name), '', 'needs to be unset'))
  return errors
}

const FIXED = [
  'regarding',
  'related',
  'reason',
  'action',
  'reportingController',
  'reportingInstance',
  'note',
  'type',
  'eventTime',
] as const

function validateNewUpdate(now: EventsV1Event, old: EventsV1Event): readonly FieldError[] {
  return FIXED.filter((name) => !equal(now[name], old[name])).map((name) =>
    invalidValue(FieldPath.of(name), now[name], 'field is immutable'),
  )
}

/** What both forms have in common, for the table. */
const lastSeen = (event: Event): string | undefined =>
  event.series?.lastObservedTime ?? event.lastTimestamp ?? firstSeen(event)
const firstSeen = (event: Event): string | undefined => event.firstTimestamp ?? event.eventTime

function sourceText({ source, reportingComponent = '', reportingInstance = '' }: Event): string {
  const component = source?.component ?? ''
  const host = source?.host ?? ''
  if (component !== '' || host !== '') return host === '' ? component : `${component}, ${host}`
  return reportingInstance === ''
    ? reportingComponent
    : `${reportingComponent}, ${reportingInstance}`
}

const cells = {
  'Last Seen': (event: Event, now: Date) => ageOf(lastSeen(event) ?? '', now),
  Type: ({ type }: Event) => type ?? '',
  Reason: ({ reason }: Event) => reason ?? '',
  Object: ({ involvedObject }: Event) => kindText(involvedObject ?? {}),
  Subobject: ({ involvedObject }: Event) => involvedObject?.fieldPath ?? '',
  Source: sourceText,
  Message: ({ message }: Event) => (message ?? '').trim(),
  'First Seen': (event: Event, now: Date) => ageOf(firstSeen(event) ?? '', now),
  Count: ({ series, count = 0 }: Event) => String(series?.count ?? (count === 0 ? 1 : count)),
}

export const events = defineResource(eventsRef, {
  storagePrefix: PREFIX,
  validate: (event) => [
    ...validateNamespace(event, event.involvedObject ?? {}, FieldPath.of('involvedObject')),
    ...(isSet(event.eventTime)
      ? validateReport(event, {
          reporter: event.reportingComponent ?? '',
          reporterField: 'reportingComponent',
          text: event.message,
        })
      : []),
  ],
  fields: (event) => {
    const about = event.involvedObject ?? {}
    return {
      'involvedObject.kind': about.kind ?? '',
      'involvedObject.namespace': about.namespace ?? '',
      'involvedObject.name': about.name ?? '',
      'involvedObject.uid': about.uid ?? '',
      'involvedObject.apiVersion': about.apiVersion ?? '',
      'involvedObject.resourceVersion': about.resourceVersion ?? '',
      'involvedObject.fieldPath': about.fieldPath ?? '',
      reason: event.reason ?? '',
      reportingComponent: event.reportingComponent ?? '',
      source: event.source?.component ?? event.reportingComponent ?? '',
      type: event.type ?? '',
    }
  },
  cells,
})

/** Fields that have another name in the other form: events.k8s.io first. */
const RENAMED = [
  ['regarding', 'involvedObject'],
  ['note', 'message'],
  ['reportingController', 'reportingComponent'],
  ['deprecatedSource', 'source'],
  ['deprecatedFirstTimestamp', 'firstTimestamp'],
  ['deprecatedLastTimestamp', 'lastTimestamp'],
  ['deprecatedCount', 'count'],
] as const

function rename(object: JsonObject, apiVersion: string, from: 0 | 1): JsonObject {
  const to = from === 0 ? 1 : 0
  const names = new Map<string, string>(RENAMED.map((pair) => [pair[from], pair[to]]))
  const renamed = Object.entries(object).map(([key, value]) => [names.get(key) ?? key, value])
  return { ...Object.fromEntries(renamed), apiVersion, kind: 'Event' } as JsonObject
}

/** events.k8s.io/v1 to v1, the form in which events are kept. */
const toCoreEvent = (event: JsonObject): JsonObject => ({
  involvedObject: {},
  source: {},
  ...rename(event, 'v1', 0),
})
/** The kept form to events.k8s.io/v1. */
function fromCoreEvent(event: JsonObject): JsonObject {
  const form = rename(event, 'events.k8s.io/v1', 1)
  // Who reported it is always said in the kept form, and left out of this one where nobody did.
  for (const name of ['reportingController', 'reportingInstance'])
    if (form[name] === '') delete form[name]
  return form
}

const asCore = (event: EventsV1Event): Event =>
  toCoreEvent(event as unknown as JsonObject) as unknown as Event

export const newEvents = defineResource(newEventsRef, {
  storagePrefix: PREFIX,
  convert: {
    stored: { group: '', version: 'v1' },
    toStorage: toCoreEvent,
    fromStorage: (event) => fromCoreEvent(event as unknown as JsonObject),
  },
  validate: (event) => [
    ...validateNamespace(event, event.regarding ?? {}, FieldPath.of('involvedObject')),
  ],
  validateNew,
  validateUpdate: validateNewUpdate,
  fields: (event) => {
    const about = event.regarding ?? {}
    return {
      'regarding.kind': about.kind ?? '',
      'regarding.namespace': about.namespace ?? '',
      'regarding.name': about.name ?? '',
      'regarding.uid': about.uid ?? '',
      'regarding.apiVersion': about.apiVersion ?? '',
      'regarding.resourceVersion': about.resourceVersion ?? '',
      'regarding.fieldPath': about.fieldPath ?? '',
      'involvedObject.kind': about.kind ?? '',
      'involvedObject.namespace': about.namespace ?? '',
      'involvedObject.name': about.name ?? '',
      'involvedObject.uid': about.uid ?? '',
      reason: event.reason ?? '',
      reportingController: event.reportingController ?? '',
      type: event.type ?? '',
    }
  },
  cells: Object.fromEntries(
    Object.entries(cells).map(([name, cell]) => [
      name,
      (event: EventsV1Event, now: Date) => cell(asCore(event), now),
    ]),
  ),
})
