/** What containers leave behind when their containerd is gone for good: shims, processes, control groups, mounts. */
import type { Env } from '#base'
import { parseMounts } from './host.ts'

interface Process {
  readonly pid: number
  readonly parent: number
  readonly command: readonly string[]
}

/** Ends every shim of the socket with all its descendants, and unmounts everything below the roots. */
export async function removeRemains(
  env: Pick<Env, 'fs' | 'process' | 'clock'>,
  {
    socket,
    state,
    roots,
  }: {
    readonly socket: string
    /** containerd's state folder. */
    readonly state: string
    readonly roots: readonly string[]
  },
): Promise<void> {
  const doomed = descendants(await readProcesses(env), (process) => isShimOf(process, socket))
  if (doomed.length > 0) {
    const groups = await controlGroups(env, doomed)
    // Shims go last in the list and first in the kill, so that none starts anything more.
    await env.process.run(['sh', '-c', `kill -KILL ${doomed.join(' ')} 2>/dev/null`])
    await untilGone(env, doomed)
    // A control group is a folder of files that cannot be removed: rmdir, deepest first.
    if (groups.length > 0) await env.process.run(['rmdir', ...groups])
  }
  await removeShimSockets(env, state)
  const mountinfo = await env.fs.readText('/proc/self/mountinfo')
  const mounts = mountsBelow(mountinfo, roots)
  for (let from = 0; from < mounts.length; from += UNMOUNT_BATCH)
    await env.process.run(['umount', '--lazy', ...mounts.slice(from, from + UNMOUNT_BATCH)])
}

const UNMOUNT_BATCH = 200
const POLL_MS = 10
const GONE_TIMEOUT_MS = 5_000

const isShimOf = ({ command }: Process, socket: string): boolean => {
  const at = command.indexOf('-address')
  return /\/containerd-shim[^/]*$/.test(`/${command[0] ?? ''}`) && command[at + 1] === socket
}

/** The processes that `isRoot` picks, and all below them, parents first. */
export function descendants(
  processes: readonly Process[],
  isRoot: (process: Process) => boolean,
): readonly number[] {
  const children = Map.groupBy(processes, ({ parent }) => parent)
  const found = new Set<number>()
  const queue = processes.filter(isRoot)
  for (let process = queue.shift(); process !== undefined; process = queue.shift()) {
    if (found.has(process.pid)) continue
    found.add(process.pid)
    queue.push(...(children.get(process.pid) ?? []))
  }
  return [...found]
}

/** The last mounted goes first: it may lie on an earlier one. */
export const mountsBelow = (mountinfo: string, roots: readonly string[]): readonly string[] =>
  parseMounts(mountinfo)
    .map(({ path }) => path)
    .filter((path) => roots.some((root) => path === root || path.startsWith(`${root}/`)))
    .toReversed()

async function readProcesses({ fs }: Pick<Env, 'fs'>): Promise<readonly Process[]> {
  const pids = (await fs.list('/proc')).filter((name) => /^\d+$/.test(name))
  const read = await Promise.all(
    pids.map(async (pid): Promise<readonly Process[]> => {
      try {
        const [stat, command] = await Promise.all([
          fs.readText(`/proc/${pid}/stat`),
          fs.readText(`/proc/${pid}/cmdline`),
        ])
        // The name in parentheses may hold anything, so what follows counts from the last one.
        const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
        return [{ pid: Number(pid), parent, command: command.split('\0') }]
      } catch {
        return []
      }
    }),
  )
  return read.flat()
}

/** Sockets that shims have outside of our folders: their bundles tell. */
async function removeShimSockets({ fs }: Pick<Env, 'fs'>, state: string): Promise<void> {
  const tasks = `${state}/io.containerd.runtime.v2.task`
  for (const namespace of await fs.list(tasks).catch(() => [])) {
    for (const id of await fs.list(`${tasks}/${namespace}`).catch(() => [])) {
      const address = await fs.readText(`${tasks}/${namespace}/${id}/address`).catch(() => '')
      const path = /^unix:\/\/(\/run\/containerd\/s\/[0-9a-f]+)$/.exec(address.trim())?.[1]
      if (path !== undefined) await fs.remove(path)
    }
  }
}

/** Folders of the control groups that the processes are alone in: those that containerd's name marks as a container's. */
async function controlGroups(
  { fs }: Pick<Env, 'fs'>,
  pids: readonly number[],
): Promise<readonly string[]> {
  const mounts = parseMounts(await fs.readText('/proc/self/mountinfo'))
  const found = new Set<string>()
  for (const pid of pids) {
    const lines = (await fs.readText(`/proc/${pid}/cgroup`).catch(() => '')).split('\n')
    for (const line of lines) {
      const [, controllers = '', path = ''] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
      if (!/[0-9a-f]{64}/.test(path)) continue
      for (const { path: mount, type, options } of mounts) {
        const holds =
          controllers === ''
            ? type === 'cgroup2'
            : type === 'cgroup' &&
              controllers.split(',').every((name) => options.split(',').includes(name))
        if (holds) found.add(`${mount}${path}`)
      }
    }
  }
  return [...found].toSorted((a, b) => b.length - a.length)
}

async function untilGone(
  { fs, clock }: Pick<Env, 'fs' | 'clock'>,
  pids: readonly number[],
): Promise<void> {
  const deadline = clock.monotonic() + GONE_TIMEOUT_MS
  for (let left = pids; left.length > 0 && clock.monotonic() < deadline;) {
    const stats = await Promise.all(
      left.map((pid) => fs.readText(`/proc/${pid}/stat`).catch(() => '')),
    )
    // A zombie waits for a parent that may never ask; it holds nothing any more.
    left = left.filter((_, i) => stats[i] !== '' && !/\) [ZX] /.test(stats[i] ?? ''))
    if (left.length > 0) await clock.sleep(POLL_MS)
  }
}
