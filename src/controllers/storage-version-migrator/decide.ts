/** What the status of a migration says. */
import { timestamp } from '#machinery'
import type { Condition, GroupResource, KubeObject } from '#machinery'

export interface Migration extends KubeObject {
  readonly spec: { readonly resource: Partial<GroupResource> & { readonly resource: string } }
  readonly status?: {
    readonly conditions?: readonly Condition[]
    /** Objects that are younger than this were stored in the new version anyway. */
    readonly resourceVersion?: string
  }
}

const ENDS = ['Succeeded', 'Failed']

export const isFinished = ({ status }: Migration): boolean =>
  status?.conditions?.some((each) => ENDS.includes(each.type) && each.status === 'True') === true

export const begun = (migration: Migration, resourceVersion: string, now: Date): Migration =>
  withCondition(
    { ...migration, status: { ...migration.status, resourceVersion } },
    'Running',
    'True',
    'StorageVersionMigrationInProgress',
    '',
    now,
  )

/** With no problem it succeeded. */
export function ended(migration: Migration, problem: string | undefined, now: Date): Migration {
  const reason =
    problem === undefined ? 'StorageVersionMigrationSucceeded' : 'StorageVersionMigrationFailed'
  const stopped = withCondition(migration, 'Running', 'False', reason, '', now)
  return withCondition(
    stopped,
    problem === undefined ? 'Succeeded' : 'Failed',
    'True',
    reason,
    problem ?? '',
    now,
  )
}

function withCondition(
  migration: Migration,
  type: string,
  status: 'True' | 'False',
  reason: string,
  message: string,
  now: Date,
): Migration {
  const conditions = migration.status?.conditions ?? []
  const lastTransitionTime = timestamp(now)
  const condition: Condition = { type, status, reason, message, lastTransitionTime }
  const others = conditions.filter((each) => each.type !== type)
  return { ...migration, status: { ...migration.status, conditions: [...others, condition] } }
}
