/** Two clusters of a machine with the same addresses would take each other's packets. */
import { join } from 'node:path'
import type { Env } from '#base'
import { firstFree, occupied, readRoutes, removeNodeNetwork, removePodNetwork } from '#network'
import { namesFor } from './names.ts'
import { ClusterError, type ServeOptions } from './options.ts'

/** What is offered instead, in this order. */
const POD_RANGES = Array.from({ length: 8 }, (_, i) => `10.${244 + i}.0.0/16`)
const SERVICE_RANGES = Array.from({ length: 8 }, (_, i) => `10.${96 + 16 * i}.0.0/12`)

/**
 * Throws `ClusterError` when pods or Services would share their addresses with another network of this machine. What
 * a cluster that is not running left behind is removed: it makes its network anew when it starts.
 */
export async function checkRanges(
  { runDir, podCidr, serviceCidr }: Pick<ServeOptions, 'runDir' | 'podCidr' | 'serviceCidr'>,
  env: Pick<Env, 'net' | 'process' | 'log'>,
): Promise<void> {
  const names = namesFor({ runDir })
  const link = names.nodeLink(0).slice(0, -1)
  const isOurs = (device: string): boolean =>
    device === names.bridge || device === names.nodeBridge || device.startsWith(link)
  for (;;) {
    const routes = await readRoutes(env)
    const found = occupied(routes, [podCidr, serviceCidr], isOurs)
    if (found === undefined) return
    const other = otherRunDir(runDir, found.device)
    if (other !== undefined && !(await isAlive(env, other))) {
      env.log.warn('Removing the network of a cluster that is not running', { ...found })
      const { bridge, podTable, nodeBridge, nodeTable } = namesFor({ runDir: other })
      await removePodNetwork({ env, bridge, table: podTable })
      await removeNodeNetwork({ env, bridge: nodeBridge, table: nodeTable })
      if ((await readRoutes(env)).includes(` dev ${found.device} `)) throw inUse(found, [])
      continue
    }
    const pods = firstFree(routes, POD_RANGES, isOurs)
    const services = firstFree(routes, SERVICE_RANGES, isOurs)
    throw inUse(found, [
      ...(other === undefined
        ? []
        : ['Another cluster runs here: end it, or give this one addresses of its own']),
      `Choose ranges that are free: --pod-cidr ${pods ?? 'CIDR'} --service-cidr ${services ?? 'CIDR'}`,
    ])
  }
}

const inUse = (
  { range, device, route }: { range: string; device: string; route: string },
  advice: readonly string[],
): ClusterError =>
  new ClusterError(
    `The addresses ${range} are in use on this machine: ${device} has ${route}`,
    ...advice,
  )

/** Devices of clusters are named by the hash in their run folder. */
function otherRunDir(runDir: string, device: string): string | undefined {
  const tail = /^navn?-([0-9a-f]{8})$/.exec(device)?.[1]
  return tail === undefined || !/[0-9a-f]{8}$/.test(runDir)
    ? undefined
    : runDir.replace(/[0-9a-f]{8}$/, tail)
}

/** The cluster, or its containers without it. */
async function isAlive({ net }: Pick<Env, 'net'>, runDir: string): Promise<boolean> {
  for (const socket of ['control.sock', 'containerd/containerd.sock'])
    try {
      const connection = await net.connect({ path: join(runDir, socket) })
      connection.destroy()
      return true
    } catch {
      // Nobody listens.
    }
  return false
}
