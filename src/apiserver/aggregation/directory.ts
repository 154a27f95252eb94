/** Which group versions other servers serve: what APIServices say. */
import { apiServices, type APIService } from '#api'
import type { Reader } from '../inside.ts'

export interface Remote {
  readonly group: string
  readonly version: string
  readonly service: APIService
}

export interface Directory {
  /** Undefined for what this server serves by itself, and for what nobody serves. */
  find(group: string, version: string): Remote | undefined
  readonly remotes: readonly Remote[]
  /** Grows with each change. */
  readonly version: number
}

const nameOf = (group: string, version: string): string => `${group}/${version}`

export const isAvailable = ({ status }: APIService): boolean =>
  status?.conditions?.some(
    (condition) => condition.type === 'Available' && condition.status === 'True',
  ) === true

export function createDirectory(read: Pick<Reader, 'list' | 'onChange'>): Directory {
  let known: ReadonlyMap<string, Remote> | undefined
  let version = 0
  let isFollowed = false
  const current = (): ReadonlyMap<string, Remote> => {
    if (!isFollowed) {
      // The first look comes with the first request, when the caches are there.
      isFollowed = true
      read.onChange(apiServices, () => {
        known = undefined
        version++
      })
    }
    known ??= new Map(
      read.list(apiServices).flatMap((service) => {
        const { group = '', version: of = '', service: reference } = service.spec
        return reference === undefined
          ? []
          : [[nameOf(group, of), { group, version: of, service }] as const]
      }),
    )
    return known
  }
  return {
    find: (group, of) => {
      const all = current()
      return all.size === 0 ? undefined : all.get(nameOf(group, of))
    },
    get remotes() {
      return [...current().values()]
    },
    get version() {
      current()
      return version
    },
  }
}
