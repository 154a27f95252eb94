/** The group autoscaling: more pods when there is more to do. */
import {
  FieldPath,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
  type FieldError,
} from '#machinery'
import { NONE, UNSET } from '../columns.ts'
import { defineResource } from '../define.ts'
import type { Mutable } from '../mutable.ts'
import { isNegative, isZeroQuantity } from '../quantities.ts'
import {
  autoscalingV1HorizontalPodAutoscalers as v1Ref,
  horizontalPodAutoscalers as v2Ref,
} from '../resources.gen.ts'
import { check, pathSegment } from '../rules.ts'
import type {
  HorizontalPodAutoscaler,
  HPAScalingRules,
  MetricSpec,
  MetricStatus,
  MetricTarget,
} from '../types.gen.ts'
import { METRICS, conversion, toV2 } from './convert.ts'

type Rules = Mutable<HPAScalingRules>

const path = FieldPath.of('spec')
const MAX_WINDOW_SECONDS = 3600
/** What is aimed at when nothing is said. */
const CPU_PERCENT = 80
const MAX_PERIOD_SECONDS = 1800

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

function validate({ spec }: HorizontalPodAutoscaler): readonly FieldError[] {
  const errors: FieldError[] = []
  const { minReplicas, maxReplicas, metrics = [], behavior } = spec
  if (minReplicas !== undefined && minReplicas < 1) {
    errors.push(
      invalidValue(path.child('minReplicas'), minReplicas, 'must be greater than or equal to 1'),
    )
  }
  for (const field of ['kind', 'name'] as const) {
    const at = path.child('scaleTargetRef', field)
    errors.push(...check(at, spec.scaleTargetRef[field], pathSegment))
  }
  if (maxReplicas < 1) {
    errors.push(invalidValue(path.child('maxReplicas'), maxReplicas, 'must be greater than 0'))
  }
  if (minReplicas !== undefined && maxReplicas < minReplicas) {
    errors.push(
      invalidValue(
        path.child('maxReplicas'),
        maxReplicas,
        'must be greater than or equal to `minReplicas`',
      ),
    )
  }
  for (const [i, metric] of metrics.entries()) {
    errors.push(...validateMetric(metric, path.child('metrics').index(i)))
  }
  for (const name of ['scaleUp', 'scaleDown'] as const) {
    const rules = behavior?.[name]
    if (rules) errors.push(...validateRules(rules, path.child('behavior', name)))
  }
  return errors
}

const SOURCES: Readonly<Record<string, keyof MetricSpec>> = {
  ContainerResource: 'containerResource',
  External: 'external',
  Object: 'object',
  Pods: 'pods',
  Resource: 'resource',
}

function validateMetric(metric: MetricSpec, at: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const { type } = metric
  if (type === '') return errors
  const source = SOURCES[type]
  if (source === undefined) {
    return [notSupported(at.child('type'), type, Object.keys(SOURCES))]
  }
  const given = metric[source]
  if (given === undefined || typeof given === 'string') {
    return [required(at.child(source), 'must populate information for the given metric source')]
  }
  for (const other of Object.values(SOURCES)) {
    if (other !== source && metric[other] !== undefined) {
      errors.push({
        type: 'FieldValueForbidden',
        field: at.child(other).toString(),
        detail: 'Forbidden: must populate the given metric source only',
      })
    }
  }
  if ('metric' in given) {
    const name = at.child(source, 'metric', 'name')
    if (given.metric.name === '') errors.push(required(name, 'must specify a metric name'))
    else errors.push(...check(name, given.metric.name, pathSegment))
  }
  return [...errors, ...validateTarget(given.target, at.child(source, 'target'), type)]
}

function validateTarget(
  target: MetricTarget | undefined,
  at: FieldPath,
  source: string,
): readonly FieldError[] {
  const errors: FieldError[] = []
  const { type = '', value, averageValue, averageUtilization } = target ?? {}
  if (type === '') {
    errors.push(required(at.child('type'), 'must specify a metric target type'))
  } else if (!['Utilization', 'Value', 'AverageValue'].includes(type)) {
    errors.push(
      invalidValue(at.child('type'), type, 'must be either Utilization, Value, or AverageValue'),
    )
  }
  const positive = (name: string, quantity: string | undefined): void => {
    if (quantity !== undefined && (isNegative(quantity) || isZeroQuantity(quantity))) {
      errors.push(invalidValue(at.child(name), quantity, 'must be positive'))
    }
  }
  positive('value', value)
  positive('averageValue', averageValue)
  if (averageUtilization !== undefined && averageUtilization < 1) {
    errors.push(
      invalidValue(at.child('averageUtilization'), averageUtilization, 'must be greater than 0'),
    )
  }
  const isResource = source === 'Resource' || source === 'ContainerResource'
  if (isResource && averageUtilization === undefined && averageValue === undefined) {
    errors.push(
      required(
        at.child('averageUtilization'),
        'must set either a target raw value or a target utilization',
      ),
    )
  }
  if (isResource && averageUtilization !== undefined && averageValue !== undefined) {
    errors.push({
      type: 'FieldValueForbidden',
      field: at.child('averageValue').toString(),
      detail: 'Forbidden: may not set both a target raw value and a target utilization',
    })
  }
  if (source === 'Pods' && averageValue === undefined) {
    errors.push(required(at.child('averageValue'), 'must specify a positive target averageValue'))
  }
  if (
    (source === 'Object' || source === 'External') &&
    value !== undefined &&
    averageValue !== undefined
  ) {
    errors.push(
      forbiddenField(
        at.child('value'),
        'may not set both a target value for metric and a per-pod target',
      ),
    )
  }
  if (
    (source === 'Object' || source === 'External') &&
    value === undefined &&
    averageValue === undefined
  ) {
    errors.push(
      required(
        at.child('averageValue'),
        'must set either a target value for metric or a per-pod target',
      ),
    )
  }
  return errors
}

function validateRules(rules: HPAScalingRules, at: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const { stabilizationWindowSeconds: window, selectPolicy, policies = [] } = rules
  if (window !== undefined && window < 0) {
    errors.push(
      invalidValue(
        at.child('stabilizationWindowSeconds'),
        window,
        'must be greater than or equal to zero',
      ),
    )
  }
  if (window !== undefined && window > MAX_WINDOW_SECONDS) {
    errors.push(
      invalidValue(
        at.child('stabilizationWindowSeconds'),
        window,
        `must be less than or equal to ${MAX_WINDOW_SECONDS}`,
      ),
    )
  }
  const selections = ['Disabled', 'Max', 'Min']
  if (selectPolicy !== undefined && !selections.includes(selectPolicy)) {
    errors.push(notSupported(at.child('selectPolicy'), selectPolicy, selections))
  }
  if (policies.length === 0) {
    errors.push(required(at.child('policies'), 'must specify at least one Policy'))
  }
  for (const [i, { type, value, periodSeconds }] of policies.entries()) {
    const each = at.child('policies').index(i)
    if (type !== 'Pods' && type !== 'Percent') {
      errors.push(notSupported(each.child('type'), type, ['Percent', 'Pods']))
    }
    if (value <= 0)
      errors.push(invalidValue(each.child('value'), value, 'must be greater than zero'))
    if (periodSeconds <= 0) {
      errors.push(
        invalidValue(each.child('periodSeconds'), periodSeconds, 'must be greater than zero'),
      )
    } else if (periodSeconds > MAX_PERIOD_SECONDS) {
      errors.push(
        invalidValue(
          each.child('periodSeconds'),
          periodSeconds,
          `must be less than or equal to ${MAX_PERIOD_SECONDS}`,
        ),
      )
    }
  }
  return errors
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
