/**
 * Between autoscaling/v1, which knows one metric, and v2, in which autoscalers are stored. What v1
 * has no field for travels in annotations, so that nothing is lost on the way and back.
 */
import type { JsonObject, KubeObject } from '#machinery'
import type {
  AutoscalingV1HorizontalPodAutoscaler as V1,
  AutoscalingV1MetricSpec as V1Metric,
  AutoscalingV1MetricStatus as V1MetricStatus,
  HorizontalPodAutoscaler as V2,
  MetricSpec,
  MetricStatus,
  MetricTarget,
} from '../types.gen.ts'

/** Where v1 keeps the measures that it has no fields for. */
export const METRICS = 'autoscaling.alpha.kubernetes.io/metrics'
const CURRENT = 'autoscaling.alpha.kubernetes.io/current-metrics'
const CONDITIONS = 'autoscaling.alpha.kubernetes.io/conditions'
const BEHAVIOR = 'autoscaling.alpha.kubernetes.io/behavior'
const OURS = [METRICS, CURRENT, CONDITIONS, BEHAVIOR]

type Loose = Record<string, unknown>

/** Leaves out what is undefined. */
const compact = (object: Loose): Loose =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined))

const isPlainCpu = ({ type, resource }: MetricSpec): boolean =>
  type === 'Resource' &&
  resource?.name === 'cpu' &&
  resource.target.averageUtilization !== undefined

/** Whether a measure says more than the one number of v1. */
const hasMore = ({ type, resource }: MetricStatus): boolean =>
  type !== 'Resource' || resource?.name !== 'cpu' || resource.current.averageValue !== undefined

function toV1(stored: V2): V1 {
  const metrics = stored.spec.metrics ?? []
  const cpu = metrics.find(isPlainCpu)
  const others = metrics.filter((metric) => metric !== cpu)
  const current = stored.status?.currentMetrics ?? []
  const cpuNow = current.find(
    ({ type, resource }) => type === 'Resource' && resource?.name === 'cpu',
  )
  const annotations: Record<string, string> = { ...stored.metadata.annotations }
  const carry = (key: string, value: unknown, isThere: boolean): void => {
    if (isThere) annotations[key] = JSON.stringify(value)
  }
  carry(METRICS, others.map(metricToV1), others.length > 0)
  carry(CURRENT, current.map(statusToV1), current.some(hasMore))
  carry(CONDITIONS, stored.status?.conditions, (stored.status?.conditions?.length ?? 0) > 0)
  carry(BEHAVIOR, stored.spec.behavior, stored.spec.behavior !== undefined)
  const { minReplicas, maxReplicas, scaleTargetRef } = stored.spec
  const { observedGeneration, lastScaleTime, currentReplicas, desiredReplicas } =
    stored.status ?? {}
  return {
    apiVersion: 'autoscaling/v1',
    kind: 'HorizontalPodAutoscaler',
    metadata: {
      ...stored.metadata,
      ...(Object.keys(annotations).length > 0 ? { annotations } : {}),
    },
    spec: compact({
      scaleTargetRef,
      minReplicas,
      maxReplicas,
      targetCPUUtilizationPercentage: cpu?.resource?.target.averageUtilization,
    }) as unknown as V1['spec'],
    status: compact({
      observedGeneration,
      lastScaleTime,
      currentReplicas: currentReplicas ?? 0,
      desiredReplicas: desiredReplicas ?? 0,
      currentCPUUtilizationPercentage: cpuNow?.resource?.current.averageUtilization,
    }) as unknown as NonNullable<V1['status']>,
  }
}

export function toV2(object: V1): V2 {
  const annotations = { ...object.metadata.annotations }
  const parsed = <T>(key: string): T | undefined => {
    try {
      const text = annotations[key]
      return text === undefined ? undefined : (JSON.parse(text) as T)
    } catch {
      return undefined
    }
  }
  const others = (parsed<readonly V1Metric[]>(METRICS) ?? []).map(metricToV2)
  const current = (parsed<readonly V1MetricStatus[]>(CURRENT) ?? []).map(statusToV2)
  const conditions = parsed<unknown>(CONDITIONS)
  const behavior = parsed<unknown>(BEHAVIOR)
  for (const key of OURS) delete annotations[key]
  const {
    minReplicas,
    maxReplicas,
    scaleTargetRef,
    targetCPUUtilizationPercentage: cpu,
  } = object.spec
  const metrics = [
    ...others,
    ...(cpu === undefined
      ? []
      : [
          {
            type: 'Resource',
            resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: cpu } },
          },
        ]),
  ]
  const { currentCPUUtilizationPercentage: cpuNow, ...status } = object.status ?? {}
  if (current.length === 0 && cpuNow !== undefined) {
    const measure = { name: 'cpu', current: { averageUtilization: cpuNow } }
    current.push({ type: 'Resource', resource: measure })
  }
  const { annotations: _a, ...metadata } = object.metadata
  return {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: {
      ...metadata,
      ...(Object.keys(annotations).length > 0 ? { annotations } : {}),
    } as V2['metadata'],
    spec: compact({
      scaleTargetRef,
      minReplicas,
      maxReplicas,
      metrics: metrics.length > 0 ? metrics : undefined,
      behavior,
    }) as unknown as V2['spec'],
    status: compact({
      ...status,
      currentMetrics: current.length > 0 ? current : undefined,
      conditions,
    }) as unknown as NonNullable<V2['status']>,
  }
}

function metricToV1({
  type,
  object,
  pods,
  resource,
  containerResource,
  external,
}: MetricSpec): Loose {
  const flat = ({ name, target, ...rest }: { name: string; target: MetricTarget }): Loose =>
    compact({
      name,
      ...rest,
      targetAverageUtilization: target.averageUtilization,
      targetAverageValue: target.averageValue,
    })
  return compact({
    type,
    resource: resource && flat(resource),
    containerResource: containerResource && flat(containerResource),
    pods:
      pods &&
      compact({
        metricName: pods.metric.name,
        selector: pods.metric.selector,
        targetAverageValue: pods.target.averageValue,
      }),
    object:
      object &&
      compact({
        target: object.describedObject,
        metricName: object.metric.name,
        selector: object.metric.selector,
        targetValue: object.target.value ?? '0',
        averageValue: object.target.averageValue,
      }),
    external:
      external &&
      compact({
        metricName: external.metric.name,
        metricSelector: external.metric.selector,
        targetValue: external.target.value,
        targetAverageValue: external.target.averageValue,
      }),
  })
}

const targetType = (value: unknown, utilization?: unknown): string =>
  utilization === undefined ? (value === undefined ? 'AverageValue' : 'Value') : 'Utilization'

function metricToV2({
  type,
  object,
  pods,
  resource,
  containerResource,
  external,
}: V1Metric): Loose {
  const deep = (flat: NonNullable<typeof resource>): Loose => {
    const { targetAverageUtilization, targetAverageValue, ...rest } = flat
    return {
      ...rest,
      target: compact({
        type: targetType(undefined, targetAverageUtilization),
        averageUtilization: targetAverageUtilization,
        averageValue: targetAverageValue,
      }),
    }
  }
  const metric = (name: string, selector: unknown): Loose => compact({ name, selector })
  return compact({
    type,
    resource: resource && deep(resource),
    containerResource: containerResource && deep(containerResource),
    pods: pods && {
      metric: metric(pods.metricName, pods.selector),
      target: { type: 'AverageValue', averageValue: pods.targetAverageValue },
    },
    object: object && {
      describedObject: object.target,
      metric: metric(object.metricName, object.selector),
      target: compact({
        type: object.averageValue === undefined ? 'Value' : 'AverageValue',
        value: object.averageValue === undefined ? object.targetValue : undefined,
        averageValue: object.averageValue,
      }),
    },
    external: external && {
      metric: metric(external.metricName, external.metricSelector),
      target: compact({
        type: targetType(external.targetValue),
        value: external.targetValue,
        averageValue: external.targetAverageValue,
      }),
    },
  })
}

function statusToV1({
  type,
  object,
  pods,
  resource,
  containerResource,
  external,
}: MetricStatus): Loose {
  const flat = ({ name, current, ...rest }: NonNullable<typeof resource>): Loose =>
    compact({
      name,
      ...rest,
      currentAverageUtilization: current.averageUtilization,
      currentAverageValue: current.averageValue ?? '0',
    })
  return compact({
    type,
    resource: resource && flat(resource),
    containerResource: containerResource && flat(containerResource),
    pods:
      pods &&
      compact({
        metricName: pods.metric.name,
        selector: pods.metric.selector,
        currentAverageValue: pods.current.averageValue ?? '0',
      }),
    object:
      object &&
      compact({
        target: object.describedObject,
        metricName: object.metric.name,
        selector: object.metric.selector,
        currentValue: object.current.value ?? '0',
        averageValue: object.current.averageValue,
      }),
    external:
      external &&
      compact({
        metricName: external.metric.name,
        metricSelector: external.metric.selector,
        currentValue: external.current.value ?? '0',
        currentAverageValue: external.current.averageValue,
      }),
  })
}

function statusToV2({
  type,
  object,
  pods,
  resource,
  containerResource,
  external,
}: V1MetricStatus): Loose {
  const deep = (flat: NonNullable<typeof resource>): Loose => {
    const { currentAverageUtilization, currentAverageValue, ...rest } = flat
    return {
      ...rest,
      current: compact({
        averageUtilization: currentAverageUtilization,
        averageValue: currentAverageValue,
      }),
    }
  }
  const metric = (name: string, selector: unknown): Loose => compact({ name, selector })
  return compact({
    type,
    resource: resource && deep(resource),
    containerResource: containerResource && deep(containerResource),
    pods: pods && {
      metric: metric(pods.metricName, pods.selector),
      current: { averageValue: pods.currentAverageValue },
    },
    object: object && {
      describedObject: object.target,
      metric: metric(object.metricName, object.selector),
      current: compact({ value: object.currentValue, averageValue: object.averageValue }),
    },
    external: external && {
      metric: metric(external.metricName, external.metricSelector),
      current: compact({
        value: external.currentValue,
        averageValue: external.currentAverageValue,
      }),
    },
  })
}

export const conversion = {
  stored: { group: 'autoscaling', version: 'v2' },
  toStorage: (object: JsonObject) => toV2(object as unknown as V1) as unknown as JsonObject,
  fromStorage: (object: KubeObject) => toV1(object as V2) as unknown as JsonObject,
}
