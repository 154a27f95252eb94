/** More nodes of one machine, with real containers: a space in the kernel and an agent process for each. */
import { join } from 'node:path'
import type { Pki } from '#apiserver'
import type { Env } from '#base'
import type { Client } from '#client'
import { openImages, removePodLogs, type Images } from '#kubelet'
import { plugIntoNodeNetwork, removeNodeNetwork, setUpNodeNetwork } from '#network'
import { nthAddress } from '../addresses.ts'
import { removeControlGroup } from '../control-groups.ts'
import { isUsable } from '../credentials.ts'
import { openDataFolder } from '../data-folder.ts'
import { namesFor } from '../names.ts'
import type { AgentProgram, ServeOptions } from '../options.ts'
import { startAgent, type Agent } from './agent.ts'
import type { MachineNodes } from './contract.ts'
import { managedNodes } from './managed.ts'
import { readRecord, type NodeRecord, type NodesRecord } from './record.ts'
import { closeSpace, findSpace, openSpace, type Space } from './space.ts'

/** What the further nodes of this machine are made of. */
export interface RealNodesOptions {
  readonly cluster: Pick<
    ServeOptions,
    | 'dataDir'
    | 'runDir'
    | 'nodeName'
    | 'podCidr'
    | 'registryMirrors'
    | 'logLevel'
    | 'logFormat'
    | 'kubelet'
  >
  readonly program: AgentProgram
  readonly pki: () => Pick<Pki, 'authority' | 'issue'>
  readonly client: Client
  /** Makes the API answer at the machine's address among its nodes, and gives the URL. */
  readonly reachable: (address: string) => Promise<string>
  readonly env: Env
  /** What there is at first. */
  readonly record: NodesRecord
}

interface Running {
  readonly space: Space
  agent: Agent
  /** It was Ready once: what it runs is worth keeping. */
  settled: boolean
  images?: Promise<Images>
}

const RESTART_MS = [200, 1_000, 5_000, 30_000] as const
/** Alive for this long, an agent counts as healthy again. */
const STEADY_MS = 60_000

/** Further nodes of this machine: each is an agent in namespaces of its own, with a container runtime of its own. */
export function realNodes(
  options: RealNodesOptions,
): MachineNodes & { images(): Promise<readonly Images[]> } {
  const { cluster, env, record } = options
  const log = env.log.for('cluster')
  const names = namesFor(cluster)
  const running = new Map<string, Running>()
  let closing = false
  let network: Promise<string> | undefined
  /** Bridge and API for the nodes, once; where the API answers them. */
  const connected = (): Promise<string> =>
    (network ??= (async () => {
      await setUpNodeNetwork({
        env,
        bridge: names.nodeBridge,
        table: names.nodeTable,
        subnet: record.subnet,
        clusterCidr: cluster.podCidr,
      })
      return options.reachable(nthAddress(record.subnet, 1))
    })())

  const placeOf = (name: string): Place => placesOf(cluster.dataDir, options.program, name)

  const boot = async (node: NodeRecord): Promise<void> => {
    const place = placeOf(node.name)
    const [server] = await Promise.all([connected(), openDataFolder(env, place.dataDir)])
    await env.fs.makeFolder(join(place.dataDir, 'log'))
    await env.fs.makeFolder(place.runDir)
    await credentials(env, options.pki(), node, join(place.dataDir, 'pki'))
    const space = await openSpace(env, { ...place, name: node.name })
    if (space.fresh) {
      // As after a reboot: what the kernel had of its containers is gone.
      await env.fs.remove(`${place.runDir}/containerd`)
      await env.fs.remove(`${place.runDir}/cni`)
      await removeControlGroup(env, namesFor(place).cgroup)
      await plugIntoNodeNetwork(env, {
        bridge: names.nodeBridge,
        subnet: record.subnet,
        link: names.nodeLink(Number(node.address.split('.')[3])),
        address: node.address,
        pid: space.inner,
      })
    }
    const begin = (): Promise<Agent> =>
      startAgent(env, {
        name: node.name,
        space,
        command: [...options.program.command, 'agent', ...agentFlags(cluster, node, place, server)],
        socket: `${place.runDir}/agent.sock`,
        logFile: place.logFile,
      })
    const held: Running = { space, agent: await begin(), settled: false }
    running.set(node.name, held)
    try {
      await held.agent.ready
    } catch (error) {
      running.delete(node.name)
      if (space.fresh) await closeSpace(env, space)
      throw error
    }
    held.settled = true
    log.info('a node of this machine is Ready', { node: node.name, address: node.address })
    void supervise(node.name, held, begin).catch((error: unknown) =>
      log.error('a node is no longer watched', { node: node.name, error }),
    )
  }

  /** Starts an agent that ended again, for as long as its node is there. */
  const supervise = async (
    name: string,
    held: Running,
    begin: () => Promise<Agent>,
  ): Promise<void> => {
    for (let failures = 0; ;) {
      const since = env.clock.monotonic()
      await held.agent.ended
      if (closing || running.get(name) !== held) return
      if ((await findSpace(env, placeOf(name).folder))?.inner !== held.space.inner) {
        running.delete(name)
        log.warn('a node of this machine has ended', { node: name })
        return
      }
      failures = env.clock.monotonic() - since > STEADY_MS ? 0 : failures + 1
      const waitMs = RESTART_MS[Math.min(failures, RESTART_MS.length) - 1] ?? RESTART_MS[0]
      log.warn('the agent of a node ended; starting it again', { node: name, waitMs })
      await env.clock.sleep(waitMs)
      if (closing || running.get(name) !== held) return
      held.agent = await begin()
    }
  }

  const end = async (name: string): Promise<void> => {
    const held = running.get(name)
    running.delete(name)
    const space = held?.space ?? (await findSpace(env, placeOf(name).folder))
    if (space !== undefined) await closeSpace(env, space)
    await held?.agent.ended
  }
  const managed = managedNodes({
    ...options,
    hands: {
      isRunning: (name) => running.has(name),
      boot,
      end,
      clear: (name) => clear(env, placeOf(name)),
    },
  })
  return {
    ...managed,
    list: () =>
      Promise.all(
        managed.nodes().map(async ({ name, address }) => {
          const held = running.get(name)
          const process = await held?.agent.process()
          return {
            name,
            address,
            running: held !== undefined,
            ...(process === undefined ? {} : { process }),
            ...(held === undefined ? {} : { init: held.space.inner }),
          }
        }),
      ),
    async close(containers) {
      closing = true
      await Promise.all(
        [...running].map(async ([name, held]) => {
          await held.agent.stop()
          if (containers === 'stop' || !held.settled) await end(name)
        }),
      )
    },
    images: () =>
      Promise.all(
        [...running].map(([name, held]) => (held.images ??= openImages({ env, ...placeOf(name) }))),
      ),
  }
}

interface Place {
  readonly dataDir: string
  readonly runDir: string
  /** Of its space. */
  readonly folder: string
  readonly logFile: string
  /** What collectors on the node see of `/var/log/pods` and `/var/log/containers`. */
  readonly podLogs: string
}

function placesOf(dataDir: string, { runDirOf }: AgentProgram, name: string): Place {
  const own = join(dataDir, 'nodes', name)
  const runDir = runDirOf(own)
  return {
    dataDir: own,
    runDir,
    folder: `${runDir}/space`,
    logFile: join(own, 'log', 'navarch.log'),
    podLogs: join(own, 'var-log'),
  }
}

const agentFlags = (
  { registryMirrors, logLevel, logFormat = 'text', kubelet }: RealNodesOptions['cluster'],
  { name, address }: NodeRecord,
  { dataDir }: Place,
  server: string,
): readonly string[] => [
  `--data-dir=${dataDir}`,
  `--server=${server}`,
  `--node-name=${name}`,
  `--node-ip=${address}`,
  '--runtime=containerd',
  `--log-level=${logLevel}`,
  `--log-format=${logFormat}`,
  ...(kubelet?.flags ?? []),
  ...registryMirrors.map((mirror) => `--registry-mirror=${mirror}`),
]

/** The server is here: it gives the node its certificates, so that no token is needed. */
async function credentials(
  env: Pick<Env, 'fs' | 'clock'>,
  { authority, issue }: Pick<Pki, 'authority' | 'issue'>,
  { name, address }: NodeRecord,
  folder: string,
): Promise<void> {
  await env.fs.makeFolder(folder)
  const write = (file: string, text: string): Promise<void> =>
    env.fs.write(join(folder, file), text, { mode: 0o600, atomic: true })
  const read = (file: string): Promise<string> =>
    env.fs.readText(join(folder, file)).catch(() => '')
  if ((await read('ca.crt')) !== authority.certificate) await write('ca.crt', authority.certificate)
  const subject = { commonName: `system:node:${name}`, organizations: ['system:nodes'] }
  for (const [file, usage, alternatives] of [
    ['kubelet-client', 'client', {}],
    ['kubelet-server', 'server', { names: [name], addresses: [address] }],
  ] as const) {
    const found = { certificate: await read(`${file}.crt`), key: await read(`${file}.key`) }
    const wanted = { commonName: subject.commonName, authority, ...alternatives }
    if (isUsable(found, wanted, env.clock.now())) continue
    const made = await issue({ subject, usages: [usage], ...alternatives })
    await write(`${file}.key`, made.key)
    await write(`${file}.crt`, made.certificate)
  }
}

async function clear(env: Pick<Env, 'fs' | 'process'>, place: Place): Promise<void> {
  await removePodLogs(env, join(place.dataDir, 'kubelet'))
  await removeControlGroup(env, namesFor(place).cgroup)
  await env.fs.remove(place.runDir)
  await env.fs.remove(place.dataDir)
}

/** Ends what is left of a machine's nodes and removes all they have on it, for a cluster that is deleted. */
export async function removeNodes(
  env: Pick<Env, 'clock' | 'fs' | 'process'>,
  { dataDir, runDir }: Pick<ServeOptions, 'dataDir' | 'runDir'>,
  program: AgentProgram,
): Promise<void> {
  const folder = join(dataDir, 'nodes')
  if ((await env.fs.stat(folder)) === undefined) return
  const found = await env.fs.list(folder)
  const record = await readRecord(env, dataDir).catch(() => undefined)
  const nodes = new Set([
    ...found.filter((name) => name !== 'nodes.json'),
    ...(record?.nodes ?? []).map(({ name }) => name),
  ])
  for (const name of nodes) {
    const place = placesOf(dataDir, program, name)
    const space = await findSpace(env, place.folder)
    if (space !== undefined) await closeSpace(env, space)
    await clear(env, place)
  }
  const names = namesFor({ runDir })
  await removeNodeNetwork({ env, bridge: names.nodeBridge, table: names.nodeTable })
}
