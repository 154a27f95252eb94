/** One metric of an autoscaler: what it says now, and how many replicas that means. */
import type { MetricSpec, MetricStatus, Pod } from '#api'
import type { Client } from '#client'
import { milliValue } from '#machinery'
import { externalValue, objectValue, podValues, resourceValues } from './metrics.ts'
import {
  MetricsError,
  byAverage,
  byUtilization,
  byValue,
  requestsOf,
  type Counting,
  type PodValue,
} from './replicas.ts'

export interface Asking {
  readonly client: Client
  readonly namespace: string
  /** Of the target's pods. */
  readonly selector: string
  readonly pods: readonly Pod[]
  readonly counting: Omit<Counting, 'values' | 'isCpu'>
  /** The plural of a kind. */
  readonly resourceOf: (apiVersion: string, kind: string) => Promise<string>
}

export interface Proposed {
  readonly replicas: number
  /** In events and conditions. */
  readonly name: string
  readonly status: MetricStatus
}

/** A metric that says nothing, and the reason that the condition `ScalingActive` gives. */
export class MetricFailure extends Error {
  readonly reason: string
  constructor(reason: string, message: string) {
    super(message)
    this.reason = reason
  }
}

/** Quantities in thousandths as upstream shows them: whole ones without the `m`. */
const shown = (milli: number): string =>
  milli % 1000 === 0 ? String(milli / 1000) : `${Math.round(milli)}m`

const REASONS: Readonly<Record<string, string>> = {
  Resource: 'FailedGetResourceMetric',
  ContainerResource: 'FailedGetContainerResourceMetric',
  Pods: 'FailedGetPodsMetric',
  Object: 'FailedGetObjectMetric',
  External: 'FailedGetExternalMetric',
}

/** Throws a `MetricFailure`. */
export async function proposeBy(spec: MetricSpec, asking: Asking): Promise<Proposed> {
  try {
    return await read(spec, asking)
  } catch (error) {
    if (!(error instanceof MetricsError)) throw error
    const { resource, containerResource } = spec
    const what = resource ?? containerResource
    const how =
      what === undefined
        ? `unable to get ${spec.type.toLowerCase()} metric`
        : `failed to get ${what.name} ${what.target.averageValue === undefined ? 'utilization' : 'usage'}`
    throw new MetricFailure(
      REASONS[spec.type] ?? 'InvalidMetricSourceType',
      `${how}: ${error.message}`,
    )
  }
}

async function read(spec: MetricSpec, asking: Asking): Promise<Proposed> {
  const { client, namespace, selector, pods, counting } = asking
  const { currentReplicas } = counting
  const resource = spec.resource ?? spec.containerResource
  if (resource !== undefined) {
    const container = spec.containerResource?.container
    const values = await resourceValues(client, namespace, selector, resource.name, container)
    return ofResource(spec, { ...counting, values, isCpu: resource.name === 'cpu' }, container)
  }
  if (spec.pods !== undefined) {
    const { metric, target } = spec.pods
    const values: ReadonlyMap<string, PodValue> = await podValues(
      client,
      namespace,
      selector,
      metric,
    )
    const proposal = byAverage(
      { ...counting, values, isCpu: false },
      milliValue(target.averageValue),
    )
    const current = { averageValue: shown(proposal.averageMilli) }
    return {
      replicas: proposal.replicas,
      name: `pods metric ${metric.name}`,
      status: { type: 'Pods', pods: { metric, current } },
    }
  }
  if (spec.object !== undefined) {
    const { describedObject, metric, target } = spec.object
    const { apiVersion = '', kind, name } = describedObject
    const plural = await asking.resourceOf(apiVersion, kind)
    const milli = await objectValue(client, namespace, plural, name, metric)
    const { replicas, current } = ofValue(milli, target, currentReplicas, pods, counting)
    return {
      replicas,
      name: `${kind} metric ${metric.name}`,
      status: { type: 'Object', object: { describedObject, metric, current } },
    }
  }
  if (spec.external !== undefined) {
    const { metric, target } = spec.external
    const milli = await externalValue(client, namespace, metric)
    const { replicas, current } = ofValue(milli, target, currentReplicas, pods, counting)
    return {
      replicas,
      name: `external metric ${metric.name}`,
      status: { type: 'External', external: { metric, current } },
    }
  }
  throw new MetricFailure('InvalidMetricSourceType', `unknown metric source type "${spec.type}"`)
}

function ofResource(spec: MetricSpec, counting: Counting, container: string | undefined): Proposed {
  const { name, target } = (spec.resource ?? spec.containerResource)!
  const of = container === undefined ? 'resource' : 'container resource'
  const statusOf = (current: { averageValue: string; averageUtilization?: number }): MetricStatus =>
    container === undefined
      ? { type: 'Resource', resource: { name, current } }
      : { type: 'ContainerResource', containerResource: { name, container, current } }
  if (target.averageUtilization === undefined) {
    const proposal = byAverage(counting, milliValue(target.averageValue))
    return {
      replicas: proposal.replicas,
      name: `${name} ${of}`,
      status: statusOf({ averageValue: shown(proposal.averageMilli) }),
    }
  }
  const requests = requestsOf(counting.pods, name, container)
  const proposal = byUtilization(counting, target.averageUtilization, requests)
  return {
    replicas: proposal.replicas,
    name: `${name} ${of} utilization (percentage of request)`,
    status: statusOf({
      averageValue: shown(proposal.averageMilli),
      ...(proposal.utilization === undefined ? {} : { averageUtilization: proposal.utilization }),
    }),
  }
}

function ofValue(
  milli: number,
  { value, averageValue }: { readonly value?: string; readonly averageValue?: string },
  currentReplicas: number,
  pods: readonly Pod[],
  { tolerance }: Pick<Counting, 'tolerance'>,
) {
  if (averageValue !== undefined) {
    const target = { average: milliValue(averageValue) }
    const each = currentReplicas === 0 ? milli : Math.ceil(milli / currentReplicas)
    return {
      replicas: byValue({ currentReplicas, pods, tolerance }, milli, target),
      current: { averageValue: shown(each) },
    }
  }
  return {
    replicas: byValue({ currentReplicas, pods, tolerance }, milli, { value: milliValue(value) }),
    current: { value: shown(milli) },
  }
}
