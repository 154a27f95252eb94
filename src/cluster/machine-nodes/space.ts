/**
 * The place of one node on a machine that is several: network, mounts, processes, host name and IPC of its own. Its first
 * process does nothing but collect orphans; when that ends the kernel ends everything in it, as if a plug were pulled.
 */
import type { Env } from '#base'
import { ClusterError } from '../options.ts'

type SpaceEnv = Pick<Env, 'clock' | 'fs' | 'process'>

export interface Space {
  /** The process that waits outside; its end is the node's. */
  readonly outer: number
  /** The first process inside, by the number that the machine knows it by. */
  readonly inner: number
}

const POLL_MS = 3
const READY_TIMEOUT_MS = 10_000
const GONE_TIMEOUT_MS = 5_000

/**
 * The logs of the node's pods lie in a folder of its own where collectors look, so that each node's finds its own.
 * /sys shows the network devices of the namespace it was mounted in, so it is mounted anew, with the control groups put
 * back onto it. Mounts spread within the node only, from then on. `wait` is how a shell collects the orphans that it was left.
 */
const INIT_SCRIPT = `set -e
mkdir -p "$1/cgroup"
mount --rbind /sys/fs/cgroup "$1/cgroup"
mount -t sysfs sysfs /sys
mount --rbind "$1/cgroup" /sys/fs/cgroup
umount --lazy "$1/cgroup"
for each in pods containers; do
  if mkdir -p "/var/log/$each" 2> /dev/null; then
    mkdir -p "$3/$each"
    mount --bind "$3/$each" "/var/log/$each" || :
  fi
done
mount --make-rshared /
echo "$2" > /proc/sys/kernel/hostname
trap 'exit 0' TERM
: > "$1/ready"
sleep infinity &
while :; do wait || :; done
`

const NAMESPACES = ['--net', '--mount', '--pid', '--uts', '--ipc'] as const

/** Begins the node's space, or finds the one that runs: `fresh` says which. */
export async function openSpace(
  env: SpaceEnv,
  {
    folder,
    name,
    logFile,
    podLogs,
  }: { folder: string; name: string; logFile: string; podLogs: string },
): Promise<Space & { readonly fresh: boolean }> {
  const found = await findSpace(env, folder)
  if (found !== undefined) return { ...found, fresh: false }
  await env.fs.remove(`${folder}/ready`)
  await env.fs.makeFolder(folder)
  await env.fs.write(scriptOf(folder), INIT_SCRIPT)
  const child = env.process.spawn(
    [
      'unshare',
      ...NAMESPACES,
      '--fork',
      '--kill-child',
      '--mount-proc',
      'sh',
      scriptOf(folder),
      folder,
      name,
      podLogs,
    ],
    { detached: true, logFile },
  )
  let ended = false
  void child.exited.then(() => {
    ended = true
  })
  await env.fs.write(`${folder}/pid`, `${child.pid}\n`, { atomic: true })
  const deadline = env.clock.monotonic() + READY_TIMEOUT_MS
  while ((await env.fs.stat(`${folder}/ready`)) === undefined) {
    if (ended || env.clock.monotonic() > deadline)
      throw new ClusterError(
        `Node "${name}" cannot have namespaces of its own: ${await lastLine(env, logFile)}`,
        'Several nodes on one machine need CAP_SYS_ADMIN and the tools unshare and nsenter (util-linux)',
      )
    await env.clock.sleep(POLL_MS)
  }
  const inner = await childOf(env, child.pid)
  if (inner === undefined) throw new Error(`The first process of node "${name}" is gone`)
  return { outer: child.pid, inner, fresh: true }
}

/** The space that was opened with this folder, if it still is there. */
export async function findSpace(env: Pick<Env, 'fs'>, folder: string): Promise<Space | undefined> {
  const outer = Number((await env.fs.readText(`${folder}/pid`).catch(() => '')).trim())
  if (!Number.isInteger(outer) || outer <= 1) return undefined
  // Process numbers are used again: only one with our script on its command line is ours.
  const command = await env.fs.readText(`/proc/${outer}/cmdline`).catch(() => '')
  if (!command.split('\0').includes(scriptOf(folder))) return undefined
  const inner = await childOf(env, outer)
  return inner === undefined ? undefined : { outer, inner }
}

/** Ends it with everything inside. */
export async function closeSpace(env: SpaceEnv, { outer, inner }: Space): Promise<void> {
  await env.process.run(['sh', '-c', `kill -KILL ${inner} ${outer} 2>/dev/null; true`])
  const deadline = env.clock.monotonic() + GONE_TIMEOUT_MS
  // It is there until the last process of its namespace is not.
  while (!(await isGone(env, inner)) && env.clock.monotonic() < deadline)
    await env.clock.sleep(POLL_MS)
}

/** A command that runs inside. */
export const inside = (
  { inner }: Space,
  command: readonly [string, ...string[]],
): readonly [string, ...string[]] => [
  'nsenter',
  '--target',
  String(inner),
  ...NAMESPACES,
  '--',
  ...command,
]

const scriptOf = (folder: string): string => `${folder}/init`

export async function childOf(
  { fs }: Pick<Env, 'fs'>,
  parent: number,
): Promise<number | undefined> {
  for (const name of await fs.list('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const stat = await fs.readText(`/proc/${name}/stat`).catch(() => '')
    // The name in parentheses may hold anything, so what follows counts from the last one.
    if (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === parent) return Number(name)
  }
  return undefined
}

const isGone = async ({ fs }: Pick<Env, 'fs'>, pid: number): Promise<boolean> => {
  const stat = await fs.readText(`/proc/${pid}/stat`).catch(() => '')
  return stat === '' || /\) [ZX] /.test(stat)
}

async function lastLine({ fs }: Pick<Env, 'fs'>, file: string): Promise<string> {
  const lines = (await fs.readText(file).catch(() => '')).trim().split('\n')
  return lines.at(-1) || 'unshare failed'
}
