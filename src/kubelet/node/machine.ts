/** The machine that the node is: read once, from where Linux shows it. */
import { arch } from 'node:process'
import type { Env } from '#base'
import { parseResolvConf } from '../pod/network-files.ts'
import type { CgroupVersion } from '../pod/cgroups.ts'
import type { DnsConfig } from '../runtime.ts'

/** What the node is made of, as its status tells it. */
export interface Machine {
  readonly cores: number
  readonly memoryBytes: number
  /** Pages that are set aside, by size as resource names have it: `2Mi`. */
  readonly hugepages: readonly { readonly size: string; readonly bytes: number }[]
  readonly swapBytes: number
  readonly machineId: string
  readonly systemUuid: string
  readonly bootId: string
  readonly kernelVersion: string
  readonly osImage: string
  readonly architecture: string
  readonly operatingSystem: string
  readonly apparmor: boolean
  readonly cgroups: CgroupVersion | undefined
  /** Controllers by their folders: for version 2 all of them are the one hierarchy. */
  readonly cgroupRoots: Readonly<Record<string, string>>
  /** Where hierarchies are mounted, all of them. */
  readonly cgroupMounts: readonly string[]
  /** Lower ones than its own need a right that the kubelet may lack. */
  readonly minOomScoreAdj: number
  readonly pidMax: number
  readonly resolvConf: DnsConfig
  readonly hostsFile: string
}

/** Reads it from `/proc`, `/sys` and `/etc`; what cannot be read is empty. */
export async function readMachine({ fs }: Pick<Env, 'fs'>): Promise<Machine> {
  const read = async (path: string): Promise<string> => {
    try {
      return await fs.readText(path)
    } catch {
      return ''
    }
  }
  const line = async (path: string): Promise<string> => (await read(path)).trim()
  const [meminfo, cpuinfo, osRelease, mounts, status, oomScore] = await Promise.all([
    read('/proc/meminfo'),
    read('/proc/cpuinfo'),
    read('/etc/os-release'),
    read('/proc/self/mountinfo'),
    read('/proc/self/status'),
    line('/proc/self/oom_score_adj'),
  ])
  const bootId = await line('/proc/sys/kernel/random/boot_id')
  const machineId = (await line('/etc/machine-id')) || bootId.replaceAll('-', '')
  const found = parseCgroupMounts(mounts)
  return {
    cores: Math.max(1, cpuinfo.match(/^processor\s*:/gm)?.length ?? 1),
    memoryBytes: kibibytes(meminfo, 'MemTotal') * 1024,
    swapBytes: kibibytes(meminfo, 'SwapTotal') * 1024,
    hugepages: await readHugepages(fs, line),
    machineId,
    systemUuid: (await line('/sys/class/dmi/id/product_uuid')) || uuidForm(machineId),
    bootId,
    kernelVersion: await line('/proc/sys/kernel/osrelease'),
    osImage: /^PRETTY_NAME="?(.*?)"?$/m.exec(osRelease)?.[1] ?? 'Linux',
    architecture: arch === 'x64' ? 'amd64' : arch,
    operatingSystem: 'linux',
    apparmor: (await line('/sys/module/apparmor/parameters/enabled')) === 'Y',
    ...found,
    minOomScoreAdj: maySetAnyOomScore(status) ? -1000 : Number(oomScore || 0),
    pidMax: Number((await line('/proc/sys/kernel/pid_max')) || 32_768),
    resolvConf: parseResolvConf(await read('/etc/resolv.conf')),
    hostsFile: await read('/etc/hosts'),
  }
}

export const kibibytes = (meminfo: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(meminfo)?.[1] ?? 0)

async function readHugepages(
  fs: Env['fs'],
  line: (path: string) => Promise<string>,
): Promise<Machine['hugepages']> {
  const root = '/sys/kernel/mm/hugepages'
  const names = await fs.list(root).catch(() => [])
  const found: { size: string; bytes: number }[] = []
  for (const name of names) {
    const kib = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1] ?? 0)
    if (kib === 0) continue
    const pages = Number(await line(`${root}/${name}/nr_hugepages`))
    const size =
      kib >= 1024 * 1024 ? `${kib / 1024 / 1024}Gi` : kib >= 1024 ? `${kib / 1024}Mi` : `${kib}Ki`
    found.push({ size, bytes: pages * kib * 1024 })
  }
  return found
}

const CONTROLLERS: readonly string[] = ['cpu', 'cpuacct', 'memory', 'pids']

export function parseCgroupMounts(
  mountinfo: string,
): Pick<Machine, 'cgroups' | 'cgroupRoots' | 'cgroupMounts'> {
  const roots: Record<string, string> = {}
  const cgroupMounts: string[] = []
  let unified: string | undefined
  for (const mount of mountinfo.split('\n')) {
    const [before = '', after = ''] = mount.split(' - ')
    const point = before.split(' ')[4]
    const [type, , options = ''] = after.split(' ')
    if (point === undefined) continue
    if (type === 'cgroup' || type === 'cgroup2') cgroupMounts.push(point)
    if (type === 'cgroup2') unified ??= point
    if (type !== 'cgroup') continue
    for (const controller of options.split(',')) {
      if (CONTROLLERS.includes(controller)) roots[controller] ??= point
    }
  }
  if (Object.keys(roots).length > 0) return { cgroups: 'v1', cgroupRoots: roots, cgroupMounts }
  if (unified === undefined) return { cgroups: undefined, cgroupRoots: {}, cgroupMounts }
  return {
    cgroups: 'v2',
    cgroupRoots: Object.fromEntries(CONTROLLERS.map((name) => [name, unified])),
    cgroupMounts,
  }
}

const CAP_SYS_RESOURCE = 1n << 24n

const maySetAnyOomScore = (procStatus: string): boolean =>
  (BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(procStatus)?.[1] ?? '0'}`) & CAP_SYS_RESOURCE) !== 0n

const uuidForm = (id: string): string =>
  id.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, '$1-$2-$3-$4-$5')

/** A machine that is only told of. */
export function simulatedMachine({
  cores = 4,
  memoryBytes = 16 * 2 ** 30,
  id = '00000000000000000000000000000000',
}: {
  readonly cores?: number
  readonly memoryBytes?: number
  readonly id?: string
} = {}): Machine {
  return {
    cores,
    memoryBytes,
    hugepages: [],
    swapBytes: 0,
    machineId: id,
    systemUuid: uuidForm(id),
    bootId: uuidForm(id),
    kernelVersion: 'simulated',
    osImage: 'Simulated',
    architecture: 'amd64',
    operatingSystem: 'linux',
    apparmor: false,
    cgroups: undefined,
    cgroupRoots: {},
    cgroupMounts: [],
    minOomScoreAdj: -1000,
    pidMax: 4_194_304,
    resolvConf: { servers: [], searches: [], options: [] },
    hostsFile: '127.0.0.1\tlocalhost\n',
  }
}
