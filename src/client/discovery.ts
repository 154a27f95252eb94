/** Which resources a server has now, custom ones too. */
import type { APIGroupList, APIResourceList, ResourceRef } from '#machinery'
import type { Transport } from './transport.ts'

/** A resource as the server tells of it. */
export interface Discovered extends ResourceRef {
  readonly verbs: readonly string[]
}

/** What a server serves, asked once and remembered. */
export interface Discovery {
  /** In their preferred versions. Subresources are not among them. */
  readonly resources: readonly Discovered[]
  /** Group versions that could not be asked for: of an aggregated server that is down, for example. */
  readonly failed: readonly { readonly groupVersion: string; readonly error: unknown }[]
}

/** Throws when not even the list of groups can be read. */
export async function discover(transport: Transport, signal?: AbortSignal): Promise<Discovery> {
  const read = (path: string): Promise<unknown> =>
    transport.request({ method: 'GET', path, ...(signal === undefined ? {} : { signal }) })
  const { groups } = (await read('/apis')) as APIGroupList
  const versions = [
    { group: '', version: 'v1', path: '/api/v1' },
    ...groups.flatMap(({ name, preferredVersion, versions: all }) => {
      const preferred = preferredVersion?.version
      // A resource may exist in another version than the preferred one only.
      return all
        .toSorted((a, b) => Number(b.version === preferred) - Number(a.version === preferred))
        .map(({ version }) => ({ group: name, version, path: `/apis/${name}/${version}` }))
    }),
  ]
  const failed: { groupVersion: string; error: unknown }[] = []
  const lists = await Promise.all(
    versions.map(async ({ group, version, path }) => {
      try {
        return { group, version, list: (await read(path)) as APIResourceList }
      } catch (error) {
        if (signal?.aborted === true) throw error
        failed.push({ groupVersion: group === '' ? version : `${group}/${version}`, error })
        return undefined
      }
    }),
  )
  const found = new Map<string, Discovered>()
  for (const answer of lists)
    for (const { name, kind, namespaced, verbs } of answer?.list.resources ?? []) {
      const { group = '', version = '' } = answer ?? {}
      const id = `${group}/${name}`
      if (name.includes('/') || found.has(id)) continue
      found.set(id, { group, version, resource: name, kind, namespaced, verbs })
    }
  return { resources: [...found.values()], failed }
}
