/** The audit log as one value: from flags to what the server writes to. */
import type { Env } from '#base'
import { createWebhookClient } from '../webhook-client/index.ts'
import { readWebhookFile } from '../webhook-client/kubeconfig.ts'
import type { Audit } from './filter.ts'
import { parseAuditPolicy } from './policy.ts'
import { auditLog, auditWebhook, type AuditLogOptions, type Sink } from './sinks.ts'

export { withAudit, withFailedAuthenticationAudit, type Audit } from './filter.ts'

/** What is written down, and where to. */
export interface AuditOptions {
  /** A file with an audit.k8s.io/v1 Policy. */
  readonly policyFile: string
  readonly log?: AuditLogOptions
  /** A kubeconfig file that says where events are sent. */
  readonly webhookFile?: string
}

/** Reads policy and webhook files. Throws an Error that names the file and what is wrong with it. */
export async function openAudit(
  env: Pick<Env, 'fs' | 'clock' | 'log' | 'net' | 'random' | 'metrics'>,
  { policyFile, log, webhookFile }: AuditOptions,
): Promise<Audit & { close(): Promise<void> }> {
  const text = await env.fs.readText(policyFile)
  let policy
  try {
    policy = parseAuditPolicy(text)
  } catch (error) {
    throw new Error(`${policyFile}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    })
  }
  const sinks: Sink[] = []
  // Named by URL: there is nothing to look up.
  const webhooks = createWebhookClient({ env, read: { get: () => undefined, list: () => [] } })
  if (log !== undefined) sinks.push(auditLog(env, log))
  if (webhookFile !== undefined)
    sinks.push(auditWebhook(env, webhooks.call, await readWebhookFile(env, webhookFile)))
  const { metrics } = env
  const total = metrics.counter({
    name: 'apiserver_audit_event_total',
    help: 'Audit events that were written down.',
  })
  const levels = metrics.counter({
    name: 'apiserver_audit_level_total',
    help: 'Audit events by level.',
    labels: ['level'],
  })
  return {
    policy,
    write(event) {
      total.with().add()
      levels.with(event.level).add()
      for (const sink of sinks) sink.write(event)
    },
    kept() {
      const waits = sinks.flatMap((sink) => sink.kept() ?? [])
      return waits.length === 0 ? undefined : Promise.all(waits).then(() => undefined)
    },
    async close() {
      await Promise.all(sinks.map((sink) => sink.close()))
      webhooks.close()
    },
  }
}
