/** What a running cluster says of itself. */
import { nodes as nodeResource, pods as podResource } from '#api'
import type { Env } from '#base'
import type { Client } from '#client'
import type { Machinery, RunningNode } from './node.ts'
import type { MachineNode } from './machine-nodes/index.ts'
import type { ClusterStatus } from './options.ts'
import { KUBERNETES_VERSION, NAVARCH_VERSION } from './version.ts'

export interface StatusOf {
  readonly env: Env
  readonly client: Client
  readonly startedAt: string
  readonly server: string
  readonly listening: string
  readonly dataDir: string
  readonly kubeconfig: string
  readonly nodeName: string
  readonly revision: () => number
  /** Absent without a node in this process. */
  readonly machine: Machinery | undefined
  readonly node: RunningNode | undefined
  /** Those that this machine is beside its first. */
  readonly others: readonly MachineNode[]
}

/** Services of a node that runs. */
export const proxyStatus = ({ proxy }: RunningNode): ClusterStatus['components'][number] => ({
  name: 'service proxy',
  healthy: true,
  detail:
    proxy === undefined
      ? 'not with a simulated node'
      : `nftables, revision ${proxy.appliedRevision()}`,
})

/** Asks the API, and the machine about what it spends. */
export async function clusterStatus(of: StatusOf): Promise<ClusterStatus> {
  const { env, client, machine, node, nodeName, others } = of
  const [nodeList, podList] = await Promise.all([
    client.list(nodeResource),
    client.list(podResource),
  ])
  const listed = nodeList.items.map(({ metadata, status: found }) => {
    const here = others.find(({ name }) => name === metadata.name)
    return {
      name: metadata.name,
      ready:
        found?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') ===
        true,
      address: found?.addresses?.find(({ type }) => type === 'InternalIP')?.address ?? '',
      ...(here === undefined ? {} : { here: hereOf(here) }),
    }
  })
  const runtime =
    machine === undefined
      ? 'none'
      : machine.containerd === undefined
        ? 'simulated'
        : `containerd ${machine.containerd.version}`
  const agents = await Promise.all(
    others.map(async ({ process }) => (process === undefined ? 0 : residentBytes(env, process))),
  )
  return {
    version: NAVARCH_VERSION,
    kubernetes: KUBERNETES_VERSION,
    pid: env.process.pid,
    startedAt: of.startedAt,
    server: of.server,
    dataDir: of.dataDir,
    kubeconfig: of.kubeconfig,
    runtime,
    components: [
      { name: 'apiserver', healthy: true, detail: of.listening },
      { name: 'storage', healthy: true, detail: `SQLite at revision ${of.revision()}` },
      { name: 'controllers', healthy: true, detail: 'running' },
      { name: 'scheduler', healthy: true, detail: 'running' },
      ...(machine === undefined || node === undefined
        ? []
        : [
            {
              name: 'kubelet',
              healthy: listed.some(({ name, ready: is }) => name === nodeName && is),
              detail: nodeName,
            },
            proxyStatus(node),
            {
              name: 'runtime',
              healthy: true,
              detail: machine.why.length === 0 ? runtime : `simulated: ${machine.why[0]}`,
            },
          ]),
      ...others.map(({ name, running, process }, i) => ({
        name: `agent of ${name}`,
        healthy: running,
        detail: running
          ? process === undefined
            ? 'in this process'
            : `pid ${process}, ${Math.round((agents[i] ?? 0) / MIB)} MiB`
          : `switched off; navarch node start ${name}`,
      })),
    ],
    nodes: listed,
    pods: {
      running: podList.items.filter(({ status: found }) => found?.phase === 'Running').length,
      total: podList.items.length,
    },
    memory: {
      controlPlane: await residentBytes(env, env.process.pid),
      runtime:
        machine?.containerd === undefined ? 0 : await residentBytes(env, machine.containerd.pid()),
      agents: agents.reduce((sum, bytes) => sum + bytes, 0),
    },
  }
}

const MIB = 1024 * 1024

const hereOf = ({
  running,
  process,
  init,
}: MachineNode): NonNullable<ClusterStatus['nodes'][number]['here']> => ({
  running,
  ...(process === undefined ? {} : { process }),
  ...(init === undefined ? {} : { init }),
})

export async function residentBytes({ fs }: Pick<Env, 'fs'>, pid: number): Promise<number> {
  try {
    const text = await fs.readText(`/proc/${pid}/status`)
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}
