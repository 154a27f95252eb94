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

/** Where amounts are: v2 has them in a field of this name, and v1 puts it before the name of each. */
type Part = 'target' | 'current'

interface Amounts {
  readonly value?: unknown
  readonly averageValue?: unknown
  readonly averageUtilization?: unknown
}
interface Named {
  readonly name: string
  readonly selector?: unknown
}
/** A measure of v2, whichever part its amounts are in. */
interface Deep {
  readonly type: string
  readonly resource?: Loose
  readonly containerResource?: Loose
  readonly pods?: Loose & { readonly metric: Named }
  readonly object?: Loose & { readonly metric: Named; readonly describedObject: unknown }
  readonly external?: Loose & { readonly metric: Named }
}
/** A measure of v1. */
interface Flat {
  readonly type: string
  readonly resource?: Loose
  readonly containerResource?: Loose
  readonly pods?: Loose
  readonly object?: Loose
  readonly external?: Loose
}

/** A current amount is always said. */
const leastOf = (part: Part): string | undefined => (part === 'current' ? '0' : undefined)

function flattened(
  { type, resource, containerResource, pods, object, external }: Deep,
  part: Part,
): Loose {
  const least = leastOf(part)
  const amountsOf = (measure: Loose): Amounts => measure[part] as Amounts
  const flat = (measure: Loose): Loose => {
    const { [part]: _, ...rest } = measure
    const { averageUtilization, averageValue } = amountsOf(measure)
    return compact({
      ...rest,
      [`${part}AverageUtilization`]: averageUtilization,
      [`${part}AverageValue`]: averageValue ?? least,
    })
  }
  return compact({
    type,
    resource: resource && flat(resource),
    containerResource: containerResource && flat(containerResource),
    pods:
      pods &&
      compact({
        metricName: pods.metric.name,
        selector: pods.metric.selector,
        [`${part}AverageValue`]: amountsOf(pods).averageValue ?? least,
      }),
    object:
      object &&
      compact({
        target: object.describedObject,
        metricName: object.metric.name,
        selector: object.metric.selector,
        [`${part}Value`]: amountsOf(object).value ?? '0',
        averageValue: amountsOf(object).averageValue,
      }),
    external:
      external &&
      compact({
        metricName: external.metric.name,
        metricSelector: external.metric.selector,
        [`${part}Value`]: amountsOf(external).value ?? least,
        [`${part}AverageValue`]: amountsOf(external).averageValue,
      }),
  })
}

const metricToV1 = (metric: MetricSpec): Loose => flattened(metric as unknown as Deep, 'target')
const statusToV1 = (status: MetricStatus): Loose => flattened(status as unknown as Deep, 'current')

/** A target says of what type it is. */
const targetAmounts = (amounts: Amounts): Loose =>
  compact({
    type:
      amounts.averageUtilization !== undefined
        ? 'Utilization'
        : amounts.value === undefined
          ? 'AverageValue'
          : 'Value',
    ...amounts,
  })
const currentAmounts = (amounts: Amounts): Loose => compact({ ...amounts })

function deepened(
  { type, resource, containerResource, pods, object, external }: Flat,
  part: Part,
): Loose {
  const amounts = part === 'target' ? targetAmounts : currentAmounts
  const deep = (flat: Loose): Loose => {
    const {
      [`${part}AverageUtilization`]: averageUtilization,
      [`${part}AverageValue`]: averageValue,
      ...rest
    } = flat
    return { ...rest, [part]: amounts({ averageUtilization, averageValue }) }
  }
  const metric = (name: unknown, selector: unknown): Loose => compact({ name, selector })
  return compact({
    type,
    resource: resource && deep(resource),
    containerResource: containerResource && deep(containerResource),
    pods: pods && {
      metric: metric(pods['metricName'], pods['selector']),
      [part]: amounts({ averageValue: pods[`${part}AverageValue`] }),
    },
    object: object && {
      describedObject: object['target'],
      metric: metric(object['metricName'], object['selector']),
      [part]:
        // A target is one or the other.
        part === 'target' && object['averageValue'] === undefined
          ? compact({ type: 'Value', value: object['targetValue'] })
          : amounts({
              value: part === 'target' ? undefined : object['currentValue'],
              averageValue: object['averageValue'],
            }),
    },
    external: external && {
      metric: metric(external['metricName'], external['metricSelector']),
      [part]: amounts({
        value: external[`${part}Value`],
        averageValue: external[`${part}AverageValue`],
      }),
    },
  })
}

const metricToV2 = (metric: V1Metric): Loose => deepened(metric as unknown as Flat, 'target')
const statusToV2 = (status: V1MetricStatus): Loose => deepened(status as unknown as Flat, 'current')

export const conversion = {
  stored: { group: 'autoscaling', version: 'v2' },
  toStorage: (object: JsonObject) => toV2(object as unknown as V1) as unknown as JsonObject,
  fromStorage: (object: KubeObject) => toV1(object as V2) as unknown as JsonObject,
}
