/** ClusterRoles that are made of others: `admin`, `edit` and `view`, and what people add to them by label. */
import { clusterRoles, type ClusterRole, type PolicyRule } from '#api'
import type { Clock, Logger } from '#base'
import type { Transport } from '#client'
import { isStatus, selectorMatches, type Draft } from '#machinery'
import type { Reader } from '../../inside.ts'

/** The rules that an aggregated role should have: those of all roles its selectors pick, by name, each once. */
export function aggregatedRules(
  role: Draft<ClusterRole>,
  all: readonly Draft<ClusterRole>[],
): readonly PolicyRule[] {
  const rules = new Map<string, PolicyRule>()
  for (const selector of role.aggregationRule?.clusterRoleSelectors ?? [])
    for (const other of all.toSorted(byName)) {
      if (other.metadata.name === role.metadata.name) continue
      if (!selectorMatches(selector, other.metadata.labels)) continue
      for (const rule of other.rules ?? []) rules.set(JSON.stringify(rule), rule)
    }
  return [...rules.values()]
}

const byName = (a: Draft<ClusterRole>, b: Draft<ClusterRole>): number => {
  const [left = '', right = ''] = [a.metadata.name, b.metadata.name]
  return left < right ? -1 : left > right ? 1 : 0
}

/** Roles whose rules are not what they should be, with the rules they should have. One role may feed another: repeat until none is left. */
export const staleRoles = (
  all: readonly ClusterRole[],
): readonly { readonly role: ClusterRole; readonly rules: readonly PolicyRule[] }[] =>
  all
    .filter(({ aggregationRule }) => aggregationRule !== undefined)
    .map((role) => ({ role, rules: aggregatedRules(role, all) }))
    .filter(({ role, rules }) => JSON.stringify(rules) !== JSON.stringify(role.rules ?? []))

/** What the aggregation of ClusterRoles reads, writes and waits with. */
export interface AggregationOptions {
  readonly read: Pick<Reader, 'list' | 'onChange'>
  /** With the identity of `apiServerUser`. */
  readonly transport: Transport
  readonly env: { readonly clock: Pick<Clock, 'sleep'>; readonly log: Logger }
  readonly signal: AbortSignal
}

const RETRY_MS = 1000

/** Keeps aggregated roles current until the signal aborts. */
export async function followAggregation(options: AggregationOptions): Promise<void> {
  const { read, transport, env, signal } = options
  let wake = (): void => undefined
  let changed = true
  const stop = read.onChange(clusterRoles, () => {
    changed = true
    wake()
  })
  const stopped = (): void => wake()
  signal.addEventListener('abort', stopped, { once: true })
  try {
    while (!signal.aborted) {
      if (!changed) {
        await new Promise<void>((resolve) => (wake = resolve))
        continue
      }
      changed = false
      for (const { role, rules } of staleRoles(read.list(clusterRoles)))
        try {
          await transport.request({
            method: 'PUT',
            path: `/apis/rbac.authorization.k8s.io/v1/clusterroles/${encodeURIComponent(role.metadata.name)}`,
            body: {
              ...role,
              apiVersion: 'rbac.authorization.k8s.io/v1',
              kind: 'ClusterRole',
              rules,
            },
            cause: `clusterrole-aggregation/${role.metadata.name}`,
            signal,
          })
        } catch (error) {
          if (signal.aborted) return
          changed = true
          if (isStatus(error, 'NotFound') || isStatus(error, 'Conflict')) continue
          env.log.warn('Cannot aggregate cluster role', { role: role.metadata.name, error })
          await env.clock.sleep(RETRY_MS, signal).catch(() => undefined)
        }
    }
  } finally {
    stop()
    signal.removeEventListener('abort', stopped)
  }
}
