/** What the kernel counts of a control group, in either version. */
import { join } from 'node:path'
import type { Env } from '#base'
import type { CgroupVersion } from '../pod/cgroups.ts'

/** Seconds and bytes. What a kernel does not count is absent. */
export interface CgroupUse {
  readonly cpuSeconds: number
  readonly userSeconds?: number
  readonly systemSeconds?: number
  /** There are none without a limit. */
  readonly throttling?: {
    readonly periods: number
    readonly throttledPeriods: number
    readonly throttledSeconds: number
  }
  readonly memory: MemoryUse
  readonly limits: {
    readonly cpuShares?: number
    /** Microseconds. */
    readonly cpuQuota?: number
    readonly cpuPeriod?: number
    readonly memoryBytes?: number
  }
  /** By the numbers that this process knows them by. */
  readonly processes: readonly number[]
  readonly threads?: number
  readonly oomKills: number
  /** Where the kernel counts it: version 2 only. */
  readonly stalls?: Readonly<Partial<Record<'cpu' | 'memory' | 'io', Stall>>>
}

/** Pressure stall information: time that was lost waiting, and the part of the last seconds, in percent. */
export interface Stall {
  readonly some: StallTimes
  readonly full: StallTimes
}
export interface StallTimes {
  readonly seconds: number
  readonly avg10: number
  readonly avg60: number
  readonly avg300: number
}

export interface MemoryUse {
  readonly usageBytes: number
  /** Less what the kernel would give back at once. */
  readonly workingSetBytes: number
  readonly rssBytes: number
  readonly cacheBytes: number
  readonly swapBytes: number
  readonly mappedBytes: number
  readonly maxBytes?: number
  readonly pageFaults: number
  readonly majorPageFaults: number
  /** How often the limit was met. */
  readonly failures: number
}

/** What files say, by `controller/file`; empty where there is none. */
export type CgroupFiles = (name: string) => string

const FILES_V1 = [
  'cpuacct/cpuacct.usage',
  'cpuacct/cpuacct.stat',
  'cpu/cpu.stat',
  'cpu/cpu.shares',
  'cpu/cpu.cfs_quota_us',
  'cpu/cpu.cfs_period_us',
  'memory/memory.usage_in_bytes',
  'memory/memory.stat',
  'memory/memory.max_usage_in_bytes',
  'memory/memory.failcnt',
  'memory/memory.limit_in_bytes',
  'memory/memory.oom_control',
  'pids/pids.current',
  'memory/cgroup.procs',
] as const
const FILES_V2 = [
  'cpu/cpu.stat',
  'cpu/cpu.weight',
  'cpu/cpu.max',
  'memory/memory.current',
  'memory/memory.stat',
  'memory/memory.swap.current',
  'memory/memory.peak',
  'memory/memory.events',
  'memory/memory.max',
  'pids/pids.current',
  'cpu/cgroup.procs',
  'cpu/cpu.pressure',
  'cpu/memory.pressure',
  'cpu/io.pressure',
] as const

/** Undefined when there is no such group. */
export async function readCgroup(
  { fs }: Pick<Env, 'fs'>,
  {
    cgroups,
    cgroupRoots,
  }: {
    readonly cgroups: CgroupVersion | undefined
    readonly cgroupRoots: Readonly<Record<string, string>>
  },
  path: string,
): Promise<CgroupUse | undefined> {
  if (cgroups === undefined) return undefined
  const names = cgroups === 'v1' ? FILES_V1 : FILES_V2
  const found = new Map<string, string>(
    await Promise.all(
      names.map(async (name): Promise<[string, string]> => {
        const [controller = '', file = ''] = name.split('/')
        const root = cgroupRoots[controller]
        if (root === undefined) return [name, '']
        return [name, await fs.readText(join(root, path, file)).catch(() => '')]
      }),
    ),
  )
  const files: CgroupFiles = (name) => found.get(name)?.trim() ?? ''
  if (files(cgroups === 'v1' ? 'memory/memory.usage_in_bytes' : 'memory/memory.stat') === '')
    return undefined
  return cgroups === 'v1' ? useV1(files) : useV2(files)
}

/** `name value` in lines. */
const field = (text: string, name: string): number =>
  Number(new RegExp(`^${name} (\\d+)`, 'm').exec(text)?.[1] ?? 0)
const processesIn = (text: string): readonly number[] =>
  text === '' ? [] : text.split('\n').map(Number)
/** Version 1 writes a number near 2^63 where there is no limit. */
const MAX_LIMIT = 2 ** 62
/** A hundred ticks a second. */
const TICK_SECONDS = 0.01

export function useV1(files: CgroupFiles): CgroupUse {
  const stat = files('memory/memory.stat')
  const usageBytes = Number(files('memory/memory.usage_in_bytes'))
  const ticks = files('cpuacct/cpuacct.stat')
  const throttle = files('cpu/cpu.stat')
  const quota = Number(files('cpu/cpu.cfs_quota_us') || -1)
  const limit = Number(files('memory/memory.limit_in_bytes') || MAX_LIMIT)
  const pids = files('pids/pids.current')
  return {
    cpuSeconds: Number(files('cpuacct/cpuacct.usage')) / 1e9,
    userSeconds: field(ticks, 'user') * TICK_SECONDS,
    systemSeconds: field(ticks, 'system') * TICK_SECONDS,
    ...throttlingOf(quota > 0, {
      periods: field(throttle, 'nr_periods'),
      throttledPeriods: field(throttle, 'nr_throttled'),
      throttledSeconds: field(throttle, 'throttled_time') / 1e9,
    }),
    memory: {
      usageBytes,
      workingSetBytes: Math.max(0, usageBytes - field(stat, 'total_inactive_file')),
      rssBytes: field(stat, 'total_rss'),
      cacheBytes: field(stat, 'total_cache'),
      swapBytes: field(stat, 'total_swap'),
      mappedBytes: field(stat, 'total_mapped_file'),
      maxBytes: Number(files('memory/memory.max_usage_in_bytes')),
      pageFaults: field(stat, 'total_pgfault'),
      majorPageFaults: field(stat, 'total_pgmajfault'),
      failures: Number(files('memory/memory.failcnt')),
    },
    limits: {
      ...present('cpuShares', files('cpu/cpu.shares')),
      ...present('cpuPeriod', files('cpu/cpu.cfs_period_us')),
      ...(quota > 0 ? { cpuQuota: quota } : {}),
      ...(limit < MAX_LIMIT ? { memoryBytes: limit } : {}),
    },
    processes: processesIn(files('memory/cgroup.procs')),
    ...(pids === '' ? {} : { threads: Number(pids) }),
    oomKills: field(files('memory/memory.oom_control'), 'oom_kill'),
  }
}

export function useV2(files: CgroupFiles): CgroupUse {
  const stat = files('memory/memory.stat')
  const events = files('memory/memory.events')
  const cpu = files('cpu/cpu.stat')
  const [rss, cache] = [field(stat, 'anon'), field(stat, 'file')]
  // The root has no such file.
  const usageBytes = Number(files('memory/memory.current') || rss + cache)
  const [quota = 'max', period = ''] = files('cpu/cpu.max').split(' ')
  const weight = files('cpu/cpu.weight')
  const limit = files('memory/memory.max') || 'max'
  const pids = files('pids/pids.current')
  return {
    cpuSeconds: field(cpu, 'usage_usec') / 1e6,
    userSeconds: field(cpu, 'user_usec') / 1e6,
    systemSeconds: field(cpu, 'system_usec') / 1e6,
    ...throttlingOf(quota !== 'max', {
      periods: field(cpu, 'nr_periods'),
      throttledPeriods: field(cpu, 'nr_throttled'),
      throttledSeconds: field(cpu, 'throttled_usec') / 1e6,
    }),
    memory: {
      usageBytes,
      workingSetBytes: Math.max(0, usageBytes - field(stat, 'inactive_file')),
      rssBytes: rss,
      cacheBytes: cache,
      swapBytes: Number(files('memory/memory.swap.current')),
      mappedBytes: field(stat, 'file_mapped'),
      ...present('maxBytes', files('memory/memory.peak')),
      pageFaults: field(stat, 'pgfault'),
      majorPageFaults: field(stat, 'pgmajfault'),
      failures: field(events, 'max'),
    },
    limits: {
      ...(weight === '' ? {} : { cpuShares: sharesOf(Number(weight)) }),
      ...present('cpuPeriod', period),
      ...(quota === 'max' ? {} : { cpuQuota: Number(quota) }),
      ...(limit === 'max' ? {} : { memoryBytes: Number(limit) }),
    },
    processes: processesIn(files('cpu/cgroup.procs')),
    ...(pids === '' ? {} : { threads: Number(pids) }),
    oomKills: field(events, 'oom_kill'),
    ...stallsOf(files),
  }
}

function stallsOf(files: CgroupFiles): Pick<CgroupUse, 'stalls'> {
  const found = (['cpu', 'memory', 'io'] as const).flatMap((what): [string, Stall][] => {
    const text = files(`cpu/${what}.pressure`)
    return text === '' ? [] : [[what, { some: stalled(text, 'some'), full: stalled(text, 'full') }]]
  })
  return found.length === 0 ? {} : { stalls: Object.fromEntries(found) }
}

/** `some avg10=0.12 avg60=0.05 avg300=0.01 total=12345`, in microseconds. */
function stalled(text: string, kind: 'some' | 'full'): StallTimes {
  const line = new RegExp(`^${kind} (.*)$`, 'm').exec(text)?.[1] ?? ''
  const of = (name: string): number => Number(new RegExp(`${name}=([\\d.]+)`).exec(line)?.[1] ?? 0)
  return {
    seconds: of('total') / 1e6,
    avg10: of('avg10'),
    avg60: of('avg60'),
    avg300: of('avg300'),
  }
}

/** What version 1 would call a weight of version 2. */
const sharesOf = (weight: number): number => Math.round(2 + ((weight - 1) * 262_142) / 9999)

const throttlingOf = (
  isLimited: boolean,
  throttling: NonNullable<CgroupUse['throttling']>,
): Pick<CgroupUse, 'throttling'> => (isLimited || throttling.periods > 0 ? { throttling } : {})

const present = <Name extends string>(
  name: Name,
  text: string,
): { readonly [N in Name]?: number } =>
  text === '' ? {} : ({ [name]: Number(text) } as { readonly [N in Name]?: number })
