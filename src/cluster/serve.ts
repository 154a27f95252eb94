/** A whole cluster of one machine: what `navarch up` runs. */
import { join } from 'node:path'
import { nodes as nodeResource, pods as podResource } from '#api'
import { ensurePki, kubeconfigText } from '#apiserver'
import type { Env } from '#base'
import type { NodeApi } from '#client'
import { destroyContainerd, type Containerd, type Runtime } from '#kubelet'
import { removePodNetwork, removeServiceRules } from '#network'
import { openSqliteStorage, StorageOpenError, type SqliteStorage } from '#storage'
import { nthAddress, overlap } from './addresses.ts'
import { makeServer, startControlPlane, type ControlPlaneOptions } from './control-plane.ts'
import { openSettings } from './api-settings.ts'
import { guarded, openDataFolder } from './data-folder.ts'
import { clusterImages, type ClusterImages } from './images.ts'
import { namesFor, startMachinery, startNode } from './node.ts'
import { ensureJoining, publishNodeDns, remoteNode } from './remote-nodes.ts'
import { ClusterError, type ClusterStatus, type Progress, type ServeOptions } from './options.ts'
import { KUBERNETES_VERSION, NAVARCH_VERSION } from './version.ts'

export interface RunningCluster {
  readonly server: string
  readonly kubeconfig: string
  /** The API answers, the node is Ready, and Services reach their pods. */
  readonly ready: Promise<void>
  /** Absent with a simulated runtime. */
  readonly images: ClusterImages | undefined
  status(): Promise<ClusterStatus>
  stop(options: { readonly containers: 'leave' | 'stop' }): Promise<void>
  readonly stopped: Promise<void>
}

/** Resolves when the API answers; `ready` when the node does too. Whatever it began is ended when it fails. */
export async function serve(
  options: ServeOptions,
  env: Env,
  progress: (p: Progress) => void = () => undefined,
): Promise<RunningCluster> {
  const { dataDir, runDir, nodeName } = options
  const startedAt = env.clock.now().toISOString()
  const undo: (() => Promise<unknown>)[] = []
  if (overlap(options.podCidr, options.serviceCidr)) {
    throw new ClusterError(
      `The addresses of pods ${options.podCidr} and of Services ${options.serviceCidr} overlap`,
      'Choose ranges apart: --pod-cidr CIDR --service-cidr CIDR',
    )
  }
  try {
    await openDataFolder(env, dataDir)
    for (const folder of [join(dataDir, 'store'), join(dataDir, 'log'), runDir])
      await guarded(folder, () => env.fs.makeFolder(folder))

    progress({ phase: 'store', state: 'begun' })
    const storage = openStore(join(dataDir, 'store', 'navarch.db'), env)
    undo.push(() => storage.close())
    progress({
      phase: 'store',
      state: 'done',
      detail: `SQLite at revision ${storage.revisions().current}`,
    })

    // The container runtime needs longest, and nothing of the API.
    const withNode = options.withNode ?? true
    const machinery = withNode ? startMachinery(options, env, progress) : Promise.resolve(undefined)
    machinery.catch(() => undefined)
    let isServing = false
    undo.push(async () => {
      const containerd = (await machinery.catch(() => undefined))?.containerd
      // A start that failed leaves nothing behind that it did not find.
      if (isServing || containerd?.adopted === true) containerd?.release()
      else await containerd?.stop()
    })

    progress({ phase: 'certificates', state: 'begun' })
    // A machine without a network still has the pods' bridge.
    const nodeIp = options.nodeIp ?? hostAddress(env) ?? nthAddress(options.podCidr, 1)
    const pki = await ensurePki(env, join(dataDir, 'pki'), {
      names: [nodeName],
      ips: [
        ...new Set([
          nthAddress(options.serviceCidr, 1),
          nodeIp,
          ...env.net
            .addresses()
            .filter(({ family }) => family === 'IPv4')
            .map(({ address }) => address),
        ]),
      ],
      clusterDomain: options.clusterDomain,
    })
    progress({ phase: 'certificates', state: 'done' })

    const settings = await openSettings(env, storage, dataDir, options.api)
    undo.push(() => settings.close())

    progress({ phase: 'api', state: 'begun' })
    const nodes = new Map<string, NodeApi>()
    const plane: ControlPlaneOptions = {
      env,
      storage: settings.storage,
      readyChecks: settings.readyChecks,
      ...(settings.audit === undefined ? {} : { audit: settings.audit }),
      pki,
      serviceCidr: options.serviceCidr,
      podCidr: options.podCidr,
    }
    const server = makeServer(
      plane,
      (name): NodeApi | undefined => nodes.get(name) ?? remoteNode(server.inside.read, pki, name),
    )
    const listening = await listenOn(server, options, pki)
    undo.push(() => listening.close())
    const control = await startControlPlane(
      plane,
      { address: nodeIp, port: listening.port },
      { server, nodes },
    )
    undo.push(() => control.stop())
    settings.rewrite().then(
      (count) => count > 0 && env.log.info('values were encrypted anew', { count }),
      (error: unknown) => env.log.error('values could not be encrypted anew', { error }),
    )
    const stopping = new AbortController()
    undo.push(async () => stopping.abort(new Error('the cluster is stopping')))
    await ensureJoining(control.client, pki, options, `https://${nodeIp}:${listening.port}`)
    publishNodeDns({ ...control, env }, options.serviceCidr, stopping.signal)
    const address = `https://127.0.0.1:${listening.port}`
    const kubeconfig = join(dataDir, 'kubeconfig')
    await env.fs.write(
      kubeconfig,
      kubeconfigText({
        server: address,
        authority: pki.authority.certificate,
        name: 'navarch',
        user: 'navarch',
        credential: pki.admin,
      }),
      { mode: 0o600, atomic: true },
    )
    progress({ phase: 'api', state: 'done', detail: address })

    const machine = await machinery
    if (machine !== undefined) progress({ phase: 'node', state: 'begun', detail: nodeName })
    const node =
      machine &&
      (await startNode({ ...options, nodeIp }, env, machine, {
        kubelet: control.clientFor({
          name: `system:node:${nodeName}`,
          groups: ['system:nodes', 'system:authenticated'],
        }),
        admin: control.client,
        informers: control.informers,
      }))
    if (node !== undefined) {
      nodes.set(nodeName, node.kubelet.nodeApi)
      undo.push(() => node.stop())
    }
    const ready = (node?.ready ?? Promise.resolve()).then(
      () =>
        machine &&
        progress({
          phase: 'node',
          state: 'done',
          detail: `${nodeName} is Ready${machine.kind === 'simulated' ? ' (simulated: its containers are not real)' : ''}`,
        }),
    )
    ready.catch(() => undefined)

    isServing = true
    let finish: () => void = () => undefined
    const stopped = new Promise<void>((resolve) => {
      finish = resolve
    })
    let ending: Promise<void> | undefined
    const status = async (): Promise<ClusterStatus> => {
      const [nodeList, podList] = await Promise.all([
        control.client.list(nodeResource),
        control.client.list(podResource),
      ])
      const listed = nodeList.items.map(({ metadata, status: found }) => ({
        name: metadata.name,
        ready:
          found?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') ===
          true,
        address: found?.addresses?.find(({ type }) => type === 'InternalIP')?.address ?? '',
      }))
      const runtime =
        machine === undefined
          ? 'none'
          : machine.containerd === undefined
            ? 'simulated'
            : `containerd ${machine.containerd.version}`
      return {
        version: NAVARCH_VERSION,
        kubernetes: KUBERNETES_VERSION,
        pid: env.process.pid,
        startedAt,
        server: address,
        dataDir,
        kubeconfig,
        runtime,
        components: [
          { name: 'apiserver', healthy: true, detail: `${options.host}:${listening.port}` },
          {
            name: 'storage',
            healthy: true,
            detail: `SQLite at revision ${storage.revisions().current}`,
          },
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
                {
                  name: 'service proxy',
                  healthy: true,
                  detail:
                    node.proxy === undefined
                      ? 'not with a simulated node'
                      : `nftables, revision ${node.proxy.appliedRevision()}`,
                },
                {
                  name: 'runtime',
                  healthy: true,
                  detail: machine.why.length === 0 ? runtime : `simulated: ${machine.why[0]}`,
                },
              ]),
        ],
        nodes: listed,
        pods: {
          running: podList.items.filter(({ status: found }) => found?.phase === 'Running').length,
          total: podList.items.length,
        },
        memory: {
          controlPlane: await residentBytes(env, env.process.pid),
          runtime:
            machine?.containerd === undefined
              ? 0
              : await residentBytes(env, machine.containerd.pid()),
        },
      }
    }
    return {
      server: address,
      kubeconfig,
      ready,
      images:
        machine?.containerd === undefined ? undefined : clusterImages(env, machine.containerd),
      status,
      stopped,
      stop({ containers }) {
        ending ??= (async () => {
          if (containers === 'stop' && machine?.containerd !== undefined)
            undo.splice(1, 0, () => stopContainers(machine.runtime, machine.containerd))
          for (const step of undo.toReversed())
            await step().catch((error: unknown) => env.log.warn('Not ended in order', { error }))
          finish()
        })()
        return ending
      },
    }
  } catch (error) {
    for (const step of undo.toReversed()) await step().catch(() => undefined)
    throw error
  }
}

/** Every pod's sandbox, then the runtime: the next start finds nothing running and starts the pods anew. */
export async function stopContainers(
  runtime: Runtime,
  containerd: Containerd | undefined,
): Promise<void> {
  const sandboxes = await runtime.listPodSandboxes()
  await Promise.all(sandboxes.map(({ id }) => runtime.stopPodSandbox(id)))
  await containerd?.stop()
}

function openStore(path: string, env: Env): SqliteStorage {
  try {
    return openSqliteStorage({ path, clock: env.clock, log: env.log.for('storage') })
  } catch (error) {
    if (!(error instanceof StorageOpenError)) throw error
    const advice: Readonly<Record<typeof error.failure, readonly string[]>> = {
      damaged: ['Restore the file from a copy, or begin anew: navarch delete --yes'],
      version: ['Use the version of Navarch that wrote it, or another folder: --data-dir DIR'],
      locked: ['Stop the other one first: navarch down. Or use another folder: --data-dir DIR'],
      permission: ['Run as the user who owns it, or use another folder: --data-dir DIR'],
      unavailable: [],
    }
    throw new ClusterError(error.message, ...advice[error.failure])
  }
}

async function listenOn(
  server: ReturnType<typeof makeServer>,
  { host, port }: ServeOptions,
  pki: Awaited<ReturnType<typeof ensurePki>>,
) {
  try {
    return await server.listen({
      host,
      port,
      tls: {
        certificate: pki.server.certificate,
        key: pki.server.key,
        clientAuthorities: [pki.authority.certificate, pki.frontProxyAuthority.certificate],
      },
    })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'EADDRINUSE')
      throw new ClusterError(
        `Port ${port} is taken by another program`,
        'Choose another one: navarch up --port PORT (0 takes a free one)',
      )
    if (code === 'EACCES')
      throw new ClusterError(
        `No permission to listen on port ${port}`,
        'Run as root, or choose a port above 1023: navarch up --port PORT',
      )
    if (code === 'EADDRNOTAVAIL')
      throw new ClusterError(
        `This machine has no address ${host}`,
        'Choose one that it has: navarch up --host ADDRESS',
      )
    throw error
  }
}

/** The address other machines know this one by: the first that is neither loopback nor a bridge of containers. */
export function hostAddress({ net }: Pick<Env, 'net'>): string | undefined {
  const candidates = net
    .addresses()
    .filter(
      ({ family, internal, device }) =>
        family === 'IPv4' && !internal && !/^(docker|br-|nav|cni|veth|virbr)/.test(device),
    )
  return candidates[0]?.address
}

export async function residentBytes({ fs }: Pick<Env, 'fs'>, pid: number): Promise<number> {
  try {
    const text = await fs.readText(`/proc/${pid}/status`)
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

/** Removes all that a stopped cluster has on this machine. */
export async function purge(
  { dataDir, runDir }: Pick<ServeOptions, 'dataDir' | 'runDir'>,
  env: Env,
): Promise<void> {
  const names = namesFor({ runDir })
  if (await env.fs.stat(join(dataDir, 'containerd'))) {
    await destroyContainerd({ env, dataDir, runDir })
    await removeServiceRules({ env, table: names.serviceTable })
    await removePodNetwork({ env, bridge: names.bridge, table: names.podTable })
  }
  await unmountBelow(env, [runDir, dataDir])
  await env.fs.remove(runDir)
  await env.fs.remove(dataDir)
}

/** Volumes of pods in memory, and whatever else is mounted there: the deepest first. */
async function unmountBelow(env: Env, folders: readonly string[]): Promise<void> {
  const table = await env.fs.readText('/proc/self/mountinfo').catch(() => '')
  const points = table
    .split('\n')
    .map((line) =>
      (line.split(' ')[4] ?? '').replaceAll(/\\(\d{3})/g, (_, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      ),
    )
    .filter((point) => folders.some((folder) => point.startsWith(`${folder}/`)))
    .toSorted((a, b) => b.length - a.length)
  for (const point of points) await env.process.run(['umount', '-l', point])
}
