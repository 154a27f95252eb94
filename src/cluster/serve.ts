/** A whole cluster of one machine: what `navarch up` runs. */
import { join } from 'node:path'
import { definitionsFor } from '#api'
import { kubeconfigText, type Pki } from '#apiserver'
import type { Env } from '#base'
import type { Client, NodeApi } from '#client'
import { firstSubnet, hostAddress, nthAddress, overlap } from './addresses.ts'
import { keepCertificates } from './certificates.ts'
import { makeServer, startControlPlane, type ControlPlaneOptions } from './control-plane.ts'
import { openSettings } from './api-settings.ts'
import { guarded, openDataFolder } from './data-folder.ts'
import { Ending, stopContainers } from './ending.ts'
import { clusterImages, type ClusterImages } from './images.ts'
import { listenBesideServer, listenOnLoopback, tellHealth } from './kubelet-listener.ts'
import { listenOn, tlsOf } from './listening.ts'
import { nodesRecord, realNodes, simulatedNodes, type MachineNodes } from './machine-nodes/index.ts'
import { openStore } from './open-store.ts'
import { NODE_MASK, startMachinery, startNode, type Machinery } from './node.ts'
import { podLogPlaces } from './pod-logs.ts'
import { register } from './register.ts'
import { ensureJoining, publishNodeDns, remoteNode } from './remote-nodes.ts'
import { ClusterError, type ClusterStatus, type Progress, type ServeOptions } from './options.ts'
import { clusterStatus } from './status.ts'
import { openTraces } from './tracing/settings.ts'

/** A cluster, or one node of it, that runs until it is stopped. */
export interface RunningCluster {
  readonly server: string
  readonly kubeconfig: string
  /** The API answers, the node is Ready, and Services reach their pods. */
  readonly ready: Promise<void>
  /** Absent with a simulated runtime. */
  readonly images: ClusterImages | undefined
  /** What this machine is beside its first node; absent without a node. */
  readonly nodes: MachineNodes | undefined
  status(): Promise<ClusterStatus>
  stop(options: { readonly containers: 'leave' | 'stop' }): Promise<void>
  readonly stopped: Promise<void>
}

/** Resolves when the API answers; `ready` when the node does too. Whatever it began is ended when it fails. */
export async function serve(
  options: ServeOptions,
  given: Env,
  progress: (p: Progress) => void = () => undefined,
): Promise<RunningCluster> {
  const { dataDir, runDir, nodeName } = options
  const traced = await openTraces(given, options)
  const env: Env = traced === undefined ? given : { ...given, tracing: traced.tracing }
  const startedAt = env.clock.now().toISOString()
  const ending = new Ending(env.log)
  if (traced !== undefined) ending.push(() => traced.close())
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
    ending.push(() => storage.close())
    const sized = env.metrics.gauge(
      {
        name: 'apiserver_storage_size_bytes',
        help: 'Size of the store on disk.',
        labels: ['storage_cluster_id'],
      },
      () => [[['sqlite'], storage.sizeBytes()]],
    )
    ending.push(async () => sized())
    progress({
      phase: 'store',
      state: 'done',
      detail: `SQLite at revision ${storage.revisions().current}`,
    })

    // What is wrong with them is told before anything of the machine is touched.
    const definitions = definitionsFor(options.api?.serves)
    const settings = await openSettings(env, storage, dataDir, { ...options.api, definitions })
    ending.push(() => settings.close())

    // The container runtime needs longest, and nothing of the API.
    const withNode = options.withNode ?? true
    const machinery = withNode ? startMachinery(options, env, progress) : Promise.resolve(undefined)
    machinery.catch(() => undefined)
    let isServing = false
    let containersToo: 'leave' | 'stop' = 'leave'
    ending.push(async () => {
      const containerd = (await machinery.catch(() => undefined))?.containerd
      // A start that failed leaves nothing behind that it did not find.
      if (isServing || containerd?.adopted === true) containerd?.release()
      else await containerd?.stop()
    })

    progress({ phase: 'certificates', state: 'begun' })
    // A machine without a network still has the pods' bridge.
    const nodeIp = options.nodeIp ?? hostAddress(env) ?? nthAddress(options.podCidr, 1)
    const stopping = new AbortController()
    ending.push(async () => stopping.abort(new Error('the cluster is stopping')))
    const certificates = await keepCertificates(
      env,
      join(dataDir, 'pki'),
      {
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
      },
      stopping.signal,
    )
    const pki = certificates.current()
    progress({ phase: 'certificates', state: 'done' })

    progress({ phase: 'api', state: 'begun' })
    const nodes = new Map<string, NodeApi>()
    /** Those of them with a port. */
    const listens = new Set<string>()
    const plane: ControlPlaneOptions = {
      env,
      storage: settings.storage,
      definitions,
      readyChecks: settings.readyChecks,
      access: settings.access,
      admission: settings.admission,
      ...(settings.audit === undefined ? {} : { audit: settings.audit }),
      pki,
      serviceCidr: options.serviceCidr,
      podCidr: options.podCidr,
      host: nodeName,
    }
    const server = makeServer(plane, (name): NodeApi | undefined => {
      const own = nodes.get(name)
      // Its port answers more than this process asks it for.
      if (own !== undefined && !listens.has(name)) return own
      const remote = remoteNode(server.inside.read, certificates.current(), settings.kubelets, name)
      return own === undefined || remote?.connect === undefined
        ? (own ?? remote)
        : { ...own, connect: remote.connect }
    })
    const listening = await listenOn(server, options, pki)
    ending.push(() => listening.close())
    const listeners = [listening]
    certificates.onChange((made) => {
      for (const each of listeners) each.renew(tlsOf(made))
    })
    const control = await startControlPlane(
      plane,
      { address: nodeIp, port: listening.port },
      { server, nodes },
    )
    ending.push(() => control.stop())
    settings.rewrite().then(
      (count) => count > 0 && env.log.info('values were encrypted anew', { count }),
      (error: unknown) => env.log.error('values could not be encrypted anew', { error }),
    )
    await ensureJoining(control.client, pki, options, `https://${nodeIp}:${listening.port}`)
    publishNodeDns({ ...control, env }, options.serviceCidr, stopping.signal)
    const address = `https://127.0.0.1:${listening.port}`
    const kubeconfig = join(dataDir, 'kubeconfig')
    const writeKubeconfig = (made: Pki): Promise<void> =>
      env.fs.write(
        kubeconfig,
        kubeconfigText({
          server: address,
          authority: made.authority.certificate,
          name: 'navarch',
          user: 'navarch',
          credential: made.admin,
        }),
        { mode: 0o600, atomic: true },
      )
    await writeKubeconfig(pki)
    certificates.onChange((made) => {
      writeKubeconfig(made).catch((error: unknown) =>
        env.log.error('cannot write the kubeconfig', { error }),
      )
    })
    progress({ phase: 'api', state: 'done', detail: address })

    const kubeletClient = (name: string): Client =>
      control.clientFor({
        name: `system:node:${name}`,
        groups: ['system:nodes', 'system:authenticated'],
      })
    const machine = await machinery
    if (machine !== undefined) progress({ phase: 'node', state: 'begun', detail: nodeName })
    const podLogs = machine?.containerd === undefined ? undefined : await podLogPlaces(env, options)
    const record = machine && (await nodesRecord(options, env, machine.kind))
    // The first range is this node's: it must be taken before others ask for theirs.
    if (record !== undefined && record.nodes.length > 0)
      await register(kubeletClient(nodeName), env, {
        nodeName,
        podCidr: firstSubnet(options.podCidr, NODE_MASK),
        ...options.kubelet,
      })
    const real =
      record !== undefined && machine?.kind === 'containerd' && options.agent !== undefined
        ? realNodes({
            cluster: options,
            program: options.agent,
            pki: certificates.current,
            client: control.client,
            env,
            record,
            async reachable(gateway) {
              await certificates.cover(gateway)
              const isAnywhere = ['0.0.0.0', '::', gateway].includes(options.host)
              if (!isAnywhere)
                listeners.push(
                  await listenOn(
                    server,
                    { host: gateway, port: listening.port },
                    certificates.current(),
                  ),
                )
              return `https://${gateway}:${listening.port}`
            },
          })
        : undefined
    const others: MachineNodes | undefined =
      real ??
      (record === undefined || machine?.kind !== 'simulated'
        ? undefined
        : simulatedNodes({
            cluster: options,
            record,
            clientFor: kubeletClient,
            client: control.client,
            informers: control.informers,
            nodeApis: nodes,
            listen: (name) =>
              listenOnLoopback({ certificates, nodeName: name, client: kubeletClient(name), env }),
            env,
          }))
    if (others !== undefined) ending.push(() => others.close(containersToo))
    const kubeletListener =
      machine &&
      (await listenBesideServer({
        pki: certificates.current,
        nodeIp,
        nodeName,
        client: kubeletClient(nodeName),
        env,
      }))
    if (kubeletListener !== undefined) {
      ending.push(() => kubeletListener.close())
      listens.add(nodeName)
      certificates.onChange(() => {
        kubeletListener
          .renewFrom()
          .catch((error: unknown) => env.log.error('cannot renew a certificate', { error }))
      })
    }
    const kubeletPort = kubeletListener === undefined ? {} : { kubeletPort: kubeletListener.port }
    const node =
      machine &&
      (await startNode(
        { ...options, nodeIp, ...kubeletPort, ...(podLogs === undefined ? {} : { podLogs }) },
        env,
        machine,
        {
          kubelet: kubeletClient(nodeName),
          admin: control.client,
          informers: control.informers,
        },
      ))
    if (node !== undefined) {
      nodes.set(nodeName, node.kubelet.nodeApi)
      kubeletListener?.answerWith(node.kubelet.nodeApi)
      ending.push(await tellHealth(env, node.kubelet.nodeApi, options.kubelet?.healthzPort))
      ending.push(() => node.stop())
    }
    const ready = Promise.all([node?.ready, others?.ready]).then(
      () =>
        machine &&
        progress({
          phase: 'node',
          state: 'done',
          detail: readyWords([nodeName, ...(record?.nodes ?? []).map(({ name }) => name)], machine),
        }),
    )
    ready.catch(() => undefined)

    isServing = true
    const status = async (): Promise<ClusterStatus> =>
      clusterStatus({
        env,
        client: control.client,
        startedAt,
        server: address,
        dataDir,
        kubeconfig,
        listening: `${options.host}:${listening.port}`,
        nodeName,
        revision: () => Number(storage.revisions().current),
        machine,
        node,
        others: (await others?.list()) ?? [],
      })
    return {
      server: address,
      kubeconfig,
      ready,
      images:
        machine?.containerd === undefined
          ? undefined
          : clusterImages(env, machine.containerd, real?.images),
      nodes: others,
      status,
      stopped: ending.stopped,
      stop({ containers }) {
        containersToo = containers
        return ending.stop(
          containers === 'stop' && machine?.containerd !== undefined
            ? () => stopContainers(machine.runtime, machine.containerd)
            : undefined,
        )
      },
    }
  } catch (error) {
    await ending.abandon()
    throw error
  }
}

const readyWords = (names: readonly string[], { kind }: Machinery): string =>
  `${names.join(', ')} ${names.length > 1 ? 'are' : 'is'} Ready${kind === 'simulated' ? ' (simulated: containers are not real)' : ''}`
