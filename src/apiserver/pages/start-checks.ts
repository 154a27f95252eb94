/**
 * What the server does once after its start, by the names that kube-apiserver's hooks have: parts of /healthz,
 * /livez and /readyz alike. What has come about stays so: a role that somebody deletes later makes nobody ill.
 */
import type { Check } from './health.ts'

/** Those of the server alone: each is there once its caches are filled and custom resources are served. */
const OWN = [
  'start-apiserver-admission-initializer',
  'generic-apiserver-start-informers',
  'priority-and-fairness-config-consumer',
  'priority-and-fairness-filter',
  'storage-object-count-tracker-hook',
  'start-apiextensions-informers',
  'start-apiextensions-controllers',
  'crd-informer-synced',
  'start-kube-aggregator-informers',
  'apiservice-registration-controller',
  'apiservice-status-local-available-controller',
  'apiservice-status-remote-available-controller',
  'apiservice-discovery-controller',
  'kube-apiserver-autoregistration',
  'apiservice-openapi-controller',
  'apiservice-openapiv3-controller',
]

const HOOK = 'poststarthook/'
const unfinished = (): Error => new Error('not finished')

/** `more` are by the name of the hook; false says that it is not finished. */
export function startChecks(
  started: () => boolean,
  more: Readonly<Record<string, () => boolean>> = {},
): Readonly<Record<string, Check>> {
  const checks: Record<string, Check> = {}
  for (const name of OWN) checks[HOOK + name] = once(started)
  for (const [name, finished] of Object.entries(more)) checks[HOOK + name] = once(finished)
  checks['autoregister-completion'] = once(started)
  return checks
}

function once(finished: () => boolean): Check {
  let done = false
  return () => {
    done ||= finished()
    if (!done) throw unfinished()
  }
}
