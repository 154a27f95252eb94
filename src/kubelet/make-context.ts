/** Makes what all pods of one kubelet share. */
import { join } from 'node:path'
import { type Node, type Pod, type Service, nodes, runtimeClasses } from '#api'
import type { Informer } from '#client'
import { type Rejection, admit, roomFor } from './admission.ts'
import type { PodAgent } from './agent/pod-agent.ts'
import { PodCertificates } from './certificates/index.ts'
import type { KubeletContext, KubeletParts } from './context.ts'
import { Images, mountsImages } from './images.ts'
import { namespaceOf, uidOf } from './pod/containers.ts'
import { credentialsFor } from './pull-secrets.ts'
import { Sources } from './sources.ts'
import { StatusWriter } from './status-writer.ts'
import { Tokens } from './tokens.ts'
import { linuxVolumeHost, noVolumeHost } from './volumes/host.ts'
import { VolumeError } from './volumes/payload.ts'
import { volumeSources } from './volumes/sources.ts'

/** What pods of a kubelet share is made from these, and its parts. */
export interface ContextOptions {
  readonly parts: KubeletParts
  readonly serviceInformer: Informer<Service>
  /** By the uids of their pods. */
  readonly agents: ReadonlyMap<string, PodAgent>
  /** As it was last seen; undefined until it is registered. */
  readonly node: () => Node | undefined
  readonly allocatable: () => Readonly<Record<string, string>>
  /** The pods whose requests count beside this one's. */
  readonly others: (pod: Pod) => readonly Pod[]
  /** Why the node takes no such pod now. */
  readonly underPressure: (pod: Pod) => Rejection | undefined
  readonly onImagePulled: () => void
  readonly signal: AbortSignal
}

export function makeContext({
  parts,
  serviceInformer,
  agents,
  node,
  allocatable,
  others,
  underPressure,
  onImagePulled,
  signal,
}: ContextOptions): KubeletContext {
  const { client, runtime, runtimeVersion, env, config, machine } = parts
  const sources = new Sources({
    client,
    env,
    signal,
    onChange: (uids) => {
      for (const uid of uids) agents.get(uid)?.sourcesChanged()
    },
  })
  const tokens = new Tokens(client, env, (uid) => agents.get(uid)?.sourcesChanged())
  const certificates = new PodCertificates({
    client,
    env,
    signal,
    node: () => ({ name: config.nodeName, uid: node()?.metadata.uid ?? '' }),
    onChange: (uid) => agents.get(uid)?.sourcesChanged(),
  })
  const stopRenewals = () => {
    tokens.stop()
    certificates.stop()
  }
  signal.addEventListener('abort', stopRenewals, { once: true })
  const images = new Images({
    runtime,
    env,
    parallel: config.maxParallelPulls,
    onPulled: onImagePulled,
    auth: async (pod, image) => {
      const names = (pod.spec.imagePullSecrets ?? []).map(({ name = '' }) => name)
      const found = await Promise.all(names.map((name) => sources.secret(namespaceOf(pod), name)))
      return credentialsFor(
        image,
        found.filter((secret) => secret !== undefined),
      )
    },
  })
  const downward: KubeletContext['downward'] = (pod) => ({
    nodeName: config.nodeName,
    nodeIps: config.nodeIps,
    podIps: agents.get(uidOf(pod))?.podIps ?? [],
    allocatable: allocatable(),
  })
  return {
    ...parts,
    security: { seccompRoot: join(config.rootDir, 'seccomp'), apparmor: machine.apparmor },
    dns: {
      clusterDns: config.clusterDns,
      clusterDomain: config.clusterDomain,
      host: machine.resolvConf,
    },
    images,
    sources,
    tokens,
    certificates,
    statuses: new StatusWriter(client, env, signal),
    volumeOptions: {
      podsFolder: join(config.rootDir, 'pods'),
      host: runtime.simulated ? noVolumeHost : linuxVolumeHost(env),
      sources: volumeSources(client, { objects: sources, tokens, certificates }),
      env,
      imageVolume: async (pod, image, policy, stop) => {
        const found = await images.forVolume(pod, image, policy, stop)
        if (mountsImages(runtimeVersion)) return { image: found }
        const { mountImage } = config
        if (mountImage !== undefined) return { mount: (folder) => mountImage(found, folder) }
        throw new VolumeError(
          `image volumes need containerd 2.1 or newer, and this node has ${runtimeVersion.name} ${runtimeVersion.version}`,
        )
      },
      facts: downward,
      nodeMemoryBytes: machine.memoryBytes,
      nodeLabels: () => node()?.metadata.labels ?? {},
    },
    services: async () => {
      await serviceInformer.synced
      return serviceInformer.list()
    },
    allocatable,
    downward,
    admit: async (pod) => {
      const pressure = underPressure(pod)
      if (pressure !== undefined) return pressure
      const ask = (on: Node | undefined) =>
        admit(pod, {
          others: others(pod),
          node: on,
          allowedSysctls: config.allowedSysctls,
          userNamespaces: runtime.simulated,
        })
      const rejection = ask(node())
      if (rejection === undefined) return undefined
      // The scheduler may have seen newer labels and amounts than the last heartbeat brought.
      const newest = await client
        .getOptional(nodes, { name: config.nodeName })
        .catch(() => undefined)
      return newest === undefined ? rejection : ask(newest)
    },
    room: async (pod) => roomFor(pod, { others: others(pod), node: node() }),
    runtimeHandler: async (pod) => {
      const name = pod.spec.runtimeClassName
      if (name === undefined || name === '') return ''
      const found = await client.getOptional(runtimeClasses, { name })
      if (found === undefined) {
        throw new Error(`RuntimeClass.node.k8s.io "${name}" not found`)
      }
      return found.handler
    },
  }
}
