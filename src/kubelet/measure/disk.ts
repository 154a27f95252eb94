/** How much of a disk folders take. */
import type { Env } from '#base'

export interface DiskUse {
  readonly bytes: number
  readonly inodes: number
}

const TIMEOUT_MS = 60_000
/** A command line has an end. */
const AT_ONCE = 200

/** By folder; what is not there is absent. Other file systems below them are not counted. */
export async function measureFolders(
  { process }: Pick<Env, 'process'>,
  folders: readonly string[],
): Promise<ReadonlyMap<string, DiskUse>> {
  const found = new Map<string, DiskUse>()
  for (let at = 0; at < folders.length; at += AT_ONCE) {
    const some = folders.slice(at, at + AT_ONCE)
    const run = async (unit: string): Promise<ReadonlyMap<string, number>> => {
      // Files go while they are counted: what could be counted is in the output all the same.
      const { stdout } = await process.run(['du', '-s', '-x', unit, '--', ...some], {
        timeoutMs: TIMEOUT_MS,
      })
      return parseDu(stdout)
    }
    const [bytes, inodes] = await Promise.all([run('-B1'), run('--inodes')])
    for (const [folder, count] of bytes)
      found.set(folder, { bytes: count, inodes: inodes.get(folder) ?? 0 })
  }
  return found
}

/** `4096\t/var/lib/x` in lines. */
export const parseDu = (text: string): ReadonlyMap<string, number> =>
  new Map(
    text.split('\n').flatMap((line): [string, number][] => {
      const [, count, folder] = /^(\d+)\t(.*)$/.exec(line) ?? []
      return count === undefined || folder === undefined ? [] : [[folder, Number(count)]]
    }),
  )
