/** Objects as the rows of a table: what `kubectl get` prints (meta.k8s.io/v1 Table). */
import type { Column } from './definition.ts'
import type { JsonObject, KubeObject } from './object.ts'

/** How rows are made. */
export interface TableOptions {
  /** What each row carries: nothing, metadata only (the default), or the whole object. */
  readonly includeObject?: 'None' | 'Metadata' | 'Object'
  readonly now: Date
  /** Only the first event of a watch carries the columns. */
  readonly columnDefinitions?: boolean
  /** Of the group meta.k8s.io, for the table and what its rows carry. Default v1. */
  readonly version?: 'v1' | 'v1beta1'
}

/** Of the list that the table shows. */
export interface ListMetadata {
  readonly resourceVersion?: string
  readonly continue?: string
  readonly remainingItemCount?: number
}

/** Rows for people, as `kubectl get` shows them. */
export function tableOf(
  columns: readonly Column[],
  objects: readonly KubeObject[],
  listMetadata: ListMetadata,
  options: TableOptions,
): JsonObject {
  return {
    kind: 'Table',
    apiVersion: `meta.k8s.io/${options.version ?? 'v1'}`,
    metadata: { ...listMetadata },
    columnDefinitions:
      options.columnDefinitions === false
        ? null
        : columns.map(({ name, type, format, description, priority }) => ({
            name,
            type,
            format,
            description: description ?? '',
            priority,
          })),
    rows: objects.map((object) => rowOf(columns, object, options)),
  }
}

function rowOf(
  columns: readonly Column[],
  object: KubeObject,
  { includeObject = 'Metadata', now, version = 'v1' }: TableOptions,
): JsonObject {
  return {
    cells: columns.map(({ value, type }) => cell(value(object as never, now), type, now)),
    object:
      includeObject === 'None'
        ? null
        : includeObject === 'Object'
          ? object
          : partialMetadata(object, version),
  }
}

function cell(value: unknown, type: string, now: Date): unknown {
  // A cell that is empty on purpose.
  if (value === null) return null
  if (type === 'date') return typeof value === 'string' ? ageOf(value, now) : '<unknown>'
  return value ?? (type === 'integer' ? 0 : '')
}

/** The object reduced to its metadata (meta.k8s.io PartialObjectMetadata). */
const partialMetadata = ({ metadata }: KubeObject, version: 'v1' | 'v1beta1'): JsonObject => ({
  kind: 'PartialObjectMetadata',
  apiVersion: `meta.k8s.io/${version}`,
  metadata,
})

/** How long ago, as kubectl shows it; `<unknown>` for no time. */
export function ageOf(time: string | undefined, now: Date): string {
  if (time === undefined || time === '') return '<unknown>'
  return humanDuration(now.getTime() - Date.parse(time))
}

/** `5s`, `3m20s`, `45m`, `2h5m`, `30h`, `3d4h`, `120d`, `2y45d`, `9y`: two units where the first is small. */
export function humanDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000)
  if (Number.isNaN(seconds) || seconds < -1) return '<invalid>'
  if (seconds < 0) return '0s'
  if (seconds < 120) return `${seconds}s`
  const minutes = Math.trunc(seconds / 60)
  if (minutes < 10) return seconds % 60 === 0 ? `${minutes}m` : `${minutes}m${seconds % 60}s`
  if (minutes < 180) return `${minutes}m`
  const hours = Math.trunc(minutes / 60)
  if (hours < 8) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`
  if (hours < 48) return `${hours}h`
  if (hours < 24 * 8)
    return hours % 24 === 0
      ? `${Math.trunc(hours / 24)}d`
      : `${Math.trunc(hours / 24)}d${hours % 24}h`
  if (hours < 24 * 365 * 2) return `${Math.trunc(hours / 24)}d`
  if (hours < 24 * 365 * 8) {
    const days = Math.trunc(hours / 24) % 365
    return days === 0
      ? `${Math.trunc(hours / 24 / 365)}y`
      : `${Math.trunc(hours / 24 / 365)}y${days}d`
  }
  return `${Math.trunc(hours / 24 / 365)}y`
}
