/** How many pods an owner of a kind that is not known here asks for: its `/scale` tells (KEP-85). */
import type { Transport } from '#client'
import { isStatus, type OwnerReference } from '#machinery'

/** What an owner asks for, or why nobody can tell. */
export type OwnerScale = { readonly replicas: number } | { readonly problem: string }

interface ResourceList {
  readonly resources?: readonly { readonly name: string; readonly kind: string }[]
}
interface Scale {
  readonly metadata: { readonly uid?: string }
  readonly spec?: { readonly replicas?: number }
}

/** Nothing where the owner is gone, or another one has its name by now. */
export async function scaleOfOwner(
  transport: Pick<Transport, 'request'>,
  { apiVersion, kind, name, uid }: OwnerReference,
  namespace: string,
): Promise<OwnerScale | undefined> {
  const group = apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : ''
  const root = `${group === '' ? '/api' : '/apis'}/${apiVersion}`
  const list = await found<ResourceList>(transport, root)
  const resources = list?.resources ?? []
  const resource = resources.find((each) => each.kind === kind && !each.name.includes('/'))?.name
  if (resource === undefined)
    return { problem: `no matches for kind "${kind}" in version "${apiVersion}"` }
  if (!resources.some((each) => each.name === `${resource}/scale`)) {
    const qualified = group === '' ? resource : `${resource}.${group}`
    return { problem: `${qualified} does not implement the scale subresource` }
  }
  const scale = await found<Scale>(
    transport,
    `${root}/namespaces/${namespace}/${resource}/${encodeURIComponent(name)}/scale`,
  )
  return scale?.metadata.uid === uid ? { replicas: scale?.spec?.replicas ?? 0 } : undefined
}

async function found<T>(
  transport: Pick<Transport, 'request'>,
  path: string,
): Promise<T | undefined> {
  try {
    return (await transport.request({ method: 'GET', path })) as T
  } catch (error) {
    if (isStatus(error, 'NotFound')) return undefined
    throw error
  }
}
