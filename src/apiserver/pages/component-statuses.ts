/** The old list of components (v1 ComponentStatus): what the health checks say, in the form that old clients read. */
import type { KubeObject } from '#machinery'
import type { Check } from './health.ts'

/** The health of the parts as objects of core/v1 ComponentStatus; all without a name. */
export async function componentStatuses(
  checks: Readonly<Record<string, Check>>,
  name: string,
): Promise<readonly KubeObject[]> {
  const wanted = Object.entries(checks).filter(([each]) => name === '' || each === name)
  return Promise.all(wanted.map(([each, check]) => statusOf(each, check)))
}

async function statusOf(name: string, check: Check): Promise<KubeObject> {
  let error: string | undefined
  try {
    await check()
  } catch (thrown) {
    error = thrown instanceof Error ? thrown.message : String(thrown)
  }
  const status = {
    kind: 'ComponentStatus',
    apiVersion: 'v1',
    metadata: { name },
    conditions: [
      error === undefined
        ? { type: 'Healthy', status: 'True', message: 'ok' }
        : { type: 'Healthy', status: 'False', message: error },
    ],
  }
  return status as unknown as KubeObject
}
