/** Where a pod's cgroup is, and what is written there: a tree of quality classes as upstream makes it. */
import type { Pod } from '#api'
import { milliOf } from '../amounts.ts'
import { uidOf } from './containers.ts'
import { qosClassOf } from './qos.ts'
import { cpuQuota, cpuShares, podLimit, podRequests } from './resources.ts'

const ROOT = '/kubepods'

/** `/kubepods/burstable/pod<uid>`; guaranteed pods are directly under the root. */
export function podCgroup(pod: Pod, root = ROOT): string {
  const qos = qosClassOf(pod)
  const parent = qos === 'Guaranteed' ? root : `${root}/${qos.toLowerCase()}`
  return `${parent}/pod${uidOf(pod)}`
}

export type CgroupVersion = 'v1' | 'v2'

/** A file to write: its controller says in which hierarchy of version 1 it is. */
export interface CgroupSetting {
  readonly controller: 'cpu' | 'memory' | 'pids'
  readonly file: string
  readonly value: string
}

/** A pod as a whole is held to the sum of its containers, so that what it starts besides them counts too. */
export function podCgroupSettings(
  pod: Pod,
  version: CgroupVersion,
  podPidsLimit: number | undefined,
): readonly CgroupSetting[] {
  const shares = cpuShares(milliOf(podRequests(pod)['cpu']))
  const cpu = podLimit(pod, 'cpu')
  const quota = cpu === undefined || cpu === 0 ? undefined : cpuQuota(Math.ceil(cpu * 1000))
  const memory = podLimit(pod, 'memory')
  const v2 = version === 'v2'
  const settings: CgroupSetting[] = [
    v2
      ? { controller: 'cpu', file: 'cpu.weight', value: String(cpuWeight(shares)) }
      : { controller: 'cpu', file: 'cpu.shares', value: String(shares) },
  ]
  if (quota !== undefined) {
    settings.push(
      v2
        ? { controller: 'cpu', file: 'cpu.max', value: `${quota} 100000` }
        : { controller: 'cpu', file: 'cpu.cfs_quota_us', value: String(quota) },
    )
  }
  if (memory !== undefined && memory > 0) {
    settings.push({
      controller: 'memory',
      file: v2 ? 'memory.max' : 'memory.limit_in_bytes',
      value: String(Math.ceil(memory)),
    })
  }
  if (podPidsLimit !== undefined) {
    settings.push({ controller: 'pids', file: 'pids.max', value: String(podPidsLimit) })
  }
  return settings
}

/** Version 2 counts from 1 to 10000 what version 1 counts from 2 to 262144. */
const cpuWeight = (shares: number): number => Math.floor(1 + ((shares - 2) * 9999) / 262_142)
