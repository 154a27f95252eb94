import type { Plugin } from '../framework.ts'
import { imageLocality } from './image-locality.ts'
import { interPodAffinity } from './inter-pod-affinity.ts'
import { nodeAffinity } from './node-affinity.ts'
import { nodeResourcesBalancedAllocation, nodeResourcesFit } from './node-resources.ts'
import { podTopologySpread, type SpreadOptions } from './pod-topology-spread.ts'
import { nodeName, nodePorts, nodeUnschedulable, prioritySort, schedulingGates } from './simple.ts'
import { taintToleration } from './taint-toleration.ts'
import { volumeZone } from './volume-zone.ts'
import { volumeBinding, volumeRestrictions, type VolumeLister } from './volumes.ts'

export interface PluginContext extends SpreadOptions {
  readonly volumes: VolumeLister
}

/** The default plugins, in the order in which Kubernetes asks them. */
export const defaultPlugins = ({ volumes, selectorFor }: PluginContext): readonly Plugin[] => [
  schedulingGates,
  prioritySort,
  nodeUnschedulable,
  nodeName,
  taintToleration,
  nodeAffinity,
  nodePorts,
  nodeResourcesFit,
  volumeRestrictions(volumes),
  volumeBinding(volumes),
  volumeZone(volumes),
  podTopologySpread({ selectorFor }),
  interPodAffinity,
  nodeResourcesBalancedAllocation,
  imageLocality,
]
