/** What the kubelet does to the machine besides volumes: a pod's cgroup and its files. */
import { join } from 'node:path'
import type { Env } from '#base'
import type { Pod } from '#api'
import type { Machine } from './node/machine.ts'
import { podCgroup, podCgroupSettings } from './pod/cgroups.ts'

export interface CgroupOptions {
  readonly machine: Machine
  readonly root: string
  readonly podPidsLimit: number | undefined
}

/** Makes the pod's cgroup and sets its limits; gives its path, or nothing when the machine does not let us. */
export async function makePodCgroup(
  pod: Pod,
  { machine, root, podPidsLimit }: CgroupOptions,
  { fs, log }: Pick<Env, 'fs' | 'log'>,
): Promise<string> {
  if (machine.cgroups === undefined) return ''
  const path = podCgroup(pod, root)
  try {
    for (const base of new Set(Object.values(machine.cgroupRoots))) {
      await fs.makeFolder(join(base, path), { mode: 0o755 })
      if (machine.cgroups === 'v2') await enableControllers(base, path, fs)
    }
    for (const { controller, file, value } of podCgroupSettings(
      pod,
      machine.cgroups,
      podPidsLimit,
    )) {
      const base = machine.cgroupRoots[controller]
      if (base !== undefined) await fs.write(join(base, path, file), value)
    }
    return path
  } catch (error) {
    log.warn('Cannot make a cgroup for a pod; the runtime chooses one', { error: error as Error })
    return ''
  }
}

/** From the top down: a cgroup hands a controller on only when it says so. */
async function enableControllers(base: string, path: string, fs: Env['fs']): Promise<void> {
  let at = base
  for (const part of ['', ...path.split('/').filter((name) => name !== '')]) {
    at = join(at, part)
    const has = (await fs.readText(join(at, 'cgroup.controllers'))).trim().split(' ')
    const wanted = ['cpu', 'memory', 'pids', 'cpuset', 'hugetlb', 'io'].filter((name) =>
      has.includes(name),
    )
    const on = await fs.readText(join(at, 'cgroup.subtree_control'))
    const missing = wanted.filter((name) => !on.split(/\s+/).includes(name))
    if (missing.length > 0) {
      await fs.write(
        join(at, 'cgroup.subtree_control'),
        missing.map((name) => `+${name}`).join(' '),
      )
    }
  }
}

/** In every hierarchy: a runtime makes it in those that we did not. */
export async function removePodCgroup(
  pod: Pod,
  { machine, root }: Pick<CgroupOptions, 'machine' | 'root'>,
  env: Pick<Env, 'process' | 'fs'>,
): Promise<void> {
  await removeCgroup(podCgroup(pod, root), machine, env)
}

export async function removeCgroup(
  path: string,
  machine: Machine,
  { process, fs }: Pick<Env, 'process' | 'fs'>,
): Promise<void> {
  const folders: string[] = []
  for (const base of machine.cgroupMounts) {
    const folder = join(base, path)
    if ((await fs.stat(folder)) !== undefined) folders.push(folder)
  }
  if (folders.length === 0) return
  // What is not empty stays: a process that still ends there.
  await process.run(['rmdir', '--ignore-fail-on-non-empty', ...folders])
}
