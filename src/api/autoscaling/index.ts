/** The group autoscaling: more pods when there is more to do. */
import { NONE, UNSET } from '../columns.ts'
import { defineResource } from '../define.ts'
import type { Mutable } from '../mutable.ts'
import {
  autoscalingV1HorizontalPodAutoscalers as v1Ref,
  horizontalPodAutoscalers as v2Ref,
} from '../resources.gen.ts'
import type {
  HorizontalPodAutoscaler,
  HPAScalingRules,
  MetricSpec,
  MetricStatus,
} from '../types.gen.ts'
import { METRICS, conversion, toV2 } from './convert.ts'
import { validate } from './validate.ts'

type Rules = Mutable<HPAScalingRules>

/** What is aimed at when nothing is said. */
const CPU_PERCENT = 80

/** What is said of scaling wins; what is not said is filled in one by one. */
function defaultBehavior(
  behavior: NonNullable<Mutable<HorizontalPodAutoscaler>['spec']['behavior']> | undefined,
): void {
  if (behavior === undefined) return
  const up: Rules = (behavior.scaleUp ??= {})
  up.stabilizationWindowSeconds ??= 0
  up.selectPolicy ??= 'Max'
  up.policies ??= [
    { type: 'Pods', value: 4, periodSeconds: 15 },
    { type: 'Percent', value: 100, periodSeconds: 15 },
  ]
  const down: Rules = (behavior.scaleDown ??= {})
  down.selectPolicy ??= 'Max'
  down.policies ??= [{ type: 'Percent', value: 100, periodSeconds: 15 }]
}

const UNKNOWN = '<unknown>'
const MAX_SHOWN = 2

function targetsText({ spec, status }: HorizontalPodAutoscaler): string {
  const metrics = spec.metrics ?? []
  if (metrics.length === 0) return NONE
  const texts = metrics.map((metric, i) => metricText(metric, status?.currentMetrics?.[i]))
  const shown = texts.slice(0, MAX_SHOWN).join(', ')
  return texts.length > MAX_SHOWN ? `${shown} + ${texts.length - MAX_SHOWN} more...` : shown
}

/** What is measured, and what is wished for. */
function metricText(metric: MetricSpec, status: MetricStatus | undefined): string {
  switch (metric.type) {
    case 'Resource':
    case 'ContainerResource': {
      const source = metric.resource ?? metric.containerResource
      const current = (status?.resource ?? status?.containerResource)?.current
      const target = source?.target
      const name = source?.name ?? ''
      if (target?.averageValue !== undefined) {
        return `${name}: ${current?.averageValue ?? UNKNOWN}/${target.averageValue}`
      }
      const now = current?.averageUtilization
      const wished = target?.averageUtilization
      return `${name}: ${now === undefined ? UNKNOWN : `${now}%`}/${wished === undefined ? '<auto>' : `${wished}%`}`
    }
    case 'Pods':
      return `${status?.pods?.current.averageValue ?? UNKNOWN}/${metric.pods?.target.averageValue ?? ''}`
    case 'Object':
    case 'External': {
      const source = metric.type === 'Object' ? metric.object : metric.external
      const current = (metric.type === 'Object' ? status?.object : status?.external)?.current
      if (source?.target.averageValue !== undefined) {
        return `${current?.averageValue ?? UNKNOWN}/${source.target.averageValue} (avg)`
      }
      return `${current?.value ?? UNKNOWN}/${source?.target.value ?? ''}`
    }
    default:
      return '<unknown type>'
  }
}

const cells = {
  Reference: ({ spec }: HorizontalPodAutoscaler) =>
    `${spec.scaleTargetRef.kind}/${spec.scaleTargetRef.name}`,
  Targets: targetsText,
  MinPods: ({ spec }: HorizontalPodAutoscaler) =>
    spec.minReplicas === undefined ? UNSET : String(spec.minReplicas),
  MaxPods: ({ spec }: HorizontalPodAutoscaler) => spec.maxReplicas,
  Replicas: ({ status }: HorizontalPodAutoscaler) => status?.currentReplicas ?? 0,
}

const horizontalPodAutoscalers = defineResource(v2Ref, {
  defaults({ spec }) {
    spec.minReplicas ??= 1
    if ((spec.metrics ?? []).length === 0) {
      spec.metrics = [
        {
          type: 'Resource',
          resource: {
            name: 'cpu',
            target: { type: 'Utilization', averageUtilization: CPU_PERCENT },
          },
        },
      ]
    }
    defaultBehavior(spec.behavior)
  },
  validate,
  cells,
})

const oldHorizontalPodAutoscalers = defineResource(v1Ref, {
  convert: conversion,
  defaults({ metadata, spec }) {
    spec.minReplicas ??= 1
    if (metadata?.annotations?.[METRICS] === undefined)
      spec.targetCPUUtilizationPercentage ??= CPU_PERCENT
  },
  validate: (object) => validate(toV2(object)),
  cells: Object.fromEntries(
    Object.entries(cells).map(([name, cell]) => [
      name,
      (object: Parameters<typeof toV2>[0]) => cell(toV2(object)),
    ]),
  ),
})

export const autoscaling = [horizontalPodAutoscalers, oldHorizontalPodAutoscalers]
