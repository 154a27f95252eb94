/** Pods and nodes for tests. */
import assert from 'node:assert/strict'
import type { Node, Pod, PodSpec, Taint } from '#api'
import { seededRandom } from '#base'
import { createFramework, type Framework } from './framework-run.ts'
import type { Plugin } from './framework.ts'
import { describeFailure } from './messages.ts'
import { defaultPlugins, type PluginContext } from './plugins/index.ts'
import { createPodInfo, type PodInfo } from './pod-info.ts'
import { schedule, type Decision } from './schedule.ts'
import { Snapshot } from './snapshot.ts'

export interface PodOptions {
  readonly namespace?: string
  readonly labels?: Record<string, string>
  readonly requests?: Record<string, string>
  readonly spec?: Partial<PodSpec>
  readonly priority?: number
  readonly on?: string
  readonly startTime?: string
  readonly resourceVersion?: string
}

export function pod(name: string, options: PodOptions = {}): Pod {
  const { namespace = 'shop', labels, requests, spec, priority, on, startTime } = options
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace,
      uid: `uid-${namespace}-${name}`,
      resourceVersion: options.resourceVersion ?? '1',
      ...(labels && { labels }),
    } as Pod['metadata'],
    spec: {
      schedulerName: 'default-scheduler',
      containers: [{ name: 'main', image: 'web:1', ...(requests && { resources: { requests } }) }],
      ...(priority !== undefined && { priority }),
      ...(on !== undefined && { nodeName: on }),
      ...spec,
    },
    status: { phase: 'Pending', ...(startTime !== undefined && { startTime }) },
  }
}

export interface NodeOptions {
  readonly labels?: Record<string, string>
  readonly taints?: readonly Taint[]
  readonly unschedulable?: boolean
  readonly allocatable?: Record<string, string>
  readonly images?: readonly { readonly names: readonly string[]; readonly sizeBytes: number }[]
}

export function node(name: string, options: NodeOptions = {}): Node {
  const { labels, taints, unschedulable, allocatable, images } = options
  return {
    metadata: {
      name,
      creationTimestamp: '2026-01-01T00:00:00Z',
      uid: `uid-${name}`,
      resourceVersion: '1',
      labels: { 'kubernetes.io/hostname': name, ...labels },
    } as Node['metadata'],
    spec: { ...(taints && { taints }), ...(unschedulable && { unschedulable }) },
    status: {
      allocatable: { cpu: '4', memory: '8Gi', pods: '110', ...allocatable },
      ...(images && { images }),
    },
  }
}

export const info = (...args: Parameters<typeof pod>): PodInfo => createPodInfo(pod(...args))

export const noVolumes: PluginContext = {
  selectorFor: () => undefined,
  volumes: {
    claim: () => undefined,
    volume: () => undefined,
    all: () => [],
    storageClass: () => undefined,
    bind: async () => {},
  },
}

export interface Setting {
  readonly snapshot: Snapshot
  readonly framework: Framework
  readonly decide: (pod: PodInfo) => Decision
  /** Name of the chosen node. */
  readonly choose: (pod: PodInfo) => string | undefined
}

/** Nodes, with pods on those that `on` names. */
export function setting(
  nodes: readonly Node[],
  placed: readonly Pod[] = [],
  { plugins = defaultPlugins(noVolumes) }: { readonly plugins?: readonly Plugin[] } = {},
): Setting {
  const snapshot = new Snapshot()
  for (const each of nodes) snapshot.setNode(each)
  for (const each of placed) snapshot.place(createPodInfo(each), each.spec.nodeName ?? '')
  const framework = createFramework(plugins)
  const random = seededRandom(1)
  const decide = (each: PodInfo) => schedule(each, { snapshot, framework, random, start: 0 })
  return { snapshot, framework, decide, choose: (each) => decide(each).node?.name }
}

export const HOST = 'kubernetes.io/hostname'
export const ZONE = 'topology.kubernetes.io/zone'

/** Why the pod finds no node. */
export function reason({ decide }: ReturnType<typeof setting>, each: PodInfo): string {
  const decision = decide(each)
  assert.equal(decision.node, undefined)
  return 'diagnosis' in decision ? describeFailure(decision.diagnosis) : ''
}

export const term = (app: string, topologyKey = HOST, more = {}) => ({
  topologyKey,
  labelSelector: { matchLabels: { app } },
  ...more,
})
export const affine = (kind: 'podAffinity' | 'podAntiAffinity', ...terms: readonly object[]) =>
  ({
    affinity: { [kind]: { requiredDuringSchedulingIgnoredDuringExecution: terms } },
  }) as Partial<PodSpec>
