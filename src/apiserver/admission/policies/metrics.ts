/** What is counted of validating policies, under upstream's names. */
import type { Env } from '#base'
import type { Decision } from './evaluate.ts'

export interface PolicyMetrics {
  /** One decision, and what the binding made of it. */
  told(
    names: { readonly policy: string; readonly binding: string },
    decision: Decision,
    action: 'allow' | 'deny' | 'audit' | 'warn',
    seconds: number,
  ): void
}

const BUCKETS = [0.000_000_5, 0.001, 0.01, 0.1, 1]
const PREFIX = 'apiserver_validating_admission_policy_'

export function policyMetrics({ metrics }: Pick<Env, 'metrics'>): PolicyMetrics {
  const labels = ['policy', 'policy_binding', 'error_type', 'enforcement_action']
  const durations = metrics.histogram({
    name: `${PREFIX}check_duration_seconds`,
    help: 'Time that an evaluation took, by policy.',
    labels,
    buckets: BUCKETS,
  })
  const checks = metrics.counter({
    name: `${PREFIX}check_total`,
    help: 'Decisions of policies.',
    labels,
  })
  return {
    told({ policy, binding }, decision, action, seconds) {
      const error = decision.failed === true ? 'invalid_error' : 'no_error'
      durations.with(policy, binding, error, action).observe(seconds)
      checks.with(policy, binding, error, action).add()
    },
  }
}
