/** Whether a HorizontalPodAutoscaler knows what to scale, between what, and by which measures. */
import {
  FieldPath,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
  type FieldError,
} from '#machinery'
import { isNegative, isZeroQuantity } from '../quantities.ts'
import { checkContainerResourceName } from '../resource-names.ts'
import { check, dnsLabel, pathSegment } from '../rules.ts'
import type {
  CrossVersionObjectReference,
  HorizontalPodAutoscaler,
  HPAScalingRules,
  MetricSpec,
  MetricTarget,
} from '../types.gen.ts'

const path = FieldPath.of('spec')
const MAX_WINDOW_SECONDS = 3600
const MAX_PERIOD_SECONDS = 1800

export function validate({ spec }: HorizontalPodAutoscaler): readonly FieldError[] {
  const errors: FieldError[] = []
  const { minReplicas, maxReplicas, metrics = [], behavior } = spec
  const [least, most] = [path.child('minReplicas'), path.child('maxReplicas')]
  if (minReplicas !== undefined && minReplicas < 1)
    errors.push(invalidValue(least, minReplicas, 'must be greater than or equal to 1'))
  if (maxReplicas === 0) errors.push(required(most, 'must be set and greater than 0'))
  if (maxReplicas < 0)
    errors.push(invalidValue(most, maxReplicas, 'must be greater than or equal to 1'))
  if (minReplicas !== undefined && maxReplicas < minReplicas)
    errors.push(invalidValue(most, maxReplicas, 'must be greater than or equal to `minReplicas`'))
  const target = spec.scaleTargetRef
  errors.push(...validateTargetReference(target, path.child('scaleTargetRef'), { inGroup: true }))
  for (const [i, metric] of metrics.entries()) {
    errors.push(...validateMetric(metric, path.child('metrics').index(i)))
  }
  for (const name of ['scaleUp', 'scaleDown'] as const) {
    const rules = behavior?.[name]
    if (rules) errors.push(...validateRules(rules, path.child('behavior', name)))
  }
  return errors
}

/** An object of some version; nothing of the core group can be scaled but a ReplicationController. */
function validateTargetReference(
  { kind, name, apiVersion = '' }: CrossVersionObjectReference,
  at: FieldPath,
  { inGroup }: { readonly inGroup: boolean },
): readonly FieldError[] {
  const errors: FieldError[] = []
  for (const [field, value] of Object.entries({ kind, name }))
    if (value === '') errors.push(required(at.child(field)))
    else errors.push(...check(at.child(field), value, pathSegment))
  const slashes = apiVersion.split('/').length - 1
  if (slashes > 1)
    errors.push(
      invalidValue(
        at.child('apiVersion'),
        apiVersion,
        `unexpected GroupVersion string: ${apiVersion}`,
      ),
    )
  else if (inGroup && kind !== 'ReplicationController' && !/^[^/]+\//.test(apiVersion))
    errors.push(
      invalidValue(at.child('apiVersion'), apiVersion, 'apiVersion must specify API group'),
    )
  return errors
}

const SOURCES: Readonly<Record<string, keyof MetricSpec>> = {
  ContainerResource: 'containerResource',
  External: 'external',
  Object: 'object',
  Pods: 'pods',
  Resource: 'resource',
}
/** The first of these that is there is the one that is looked at. */
const IN_ORDER = ['object', 'external', 'pods', 'resource', 'containerResource'] as const
type Source = (typeof IN_ORDER)[number]

function validateMetric(metric: MetricSpec, at: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const type: string = metric.type ?? ''
  const expected = SOURCES[type]
  if (type === '') errors.push(required(at.child('type'), 'must specify a metric source type'))
  if (expected === undefined)
    errors.push(notSupported(at.child('type'), type, Object.keys(SOURCES)))
  const present = IN_ORDER.filter((source) => metric[source] !== undefined)
  const [first] = present
  if (first !== undefined) errors.push(...validateSource(metric, first, at.child(first)))
  if (expected !== undefined && metric[expected] === undefined)
    errors.push(
      required(at.child(expected), 'must populate information for the given metric source'),
    )
  if (present.length !== 1)
    for (const other of present)
      if (other !== expected)
        errors.push(forbiddenField(at.child(other), 'must populate the given metric source only'))
  return errors
}

function validateSource(metric: MetricSpec, source: Source, at: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const given = metric[source]
  if (given === undefined) return errors
  if (metric.object && source === 'object')
    errors.push(
      ...validateTargetReference(metric.object.describedObject, at.child('describedObject'), {
        inGroup: false,
      }),
    )
  if ('name' in given && given.name === '')
    errors.push(required(at.child('name'), 'must specify a resource name'))
  if (metric.containerResource && source === 'containerResource') {
    const { name, container } = metric.containerResource
    if (name !== '') errors.push(...checkContainerResourceName(name, at.child('name')))
    if (container === '') errors.push(required(at.child('container'), 'must specify a container'))
    else errors.push(...check(at.child('container'), container, dnsLabel))
  }
  if ('metric' in given) {
    const name = at.child('metric', 'name')
    const text = given.metric?.name ?? ''
    if (text === '') errors.push(required(name, 'must specify a metric name'))
    else errors.push(...check(name, text, pathSegment))
  }
  const target: Partial<MetricTarget> = given.target ?? {}
  return [
    ...errors,
    ...validateTarget(target, at.child('target')),
    ...validateTargetOf(source, target, at.child('target')),
  ]
}

function validateTarget(
  { type = '', value, averageValue, averageUtilization }: Partial<MetricTarget>,
  at: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  if (type === '') errors.push(required(at.child('type'), 'must specify a metric target type'))
  if (!['Utilization', 'Value', 'AverageValue'].includes(type))
    errors.push(
      invalidValue(at.child('type'), type, 'must be either Utilization, Value, or AverageValue'),
    )
  for (const [name, quantity] of Object.entries({ value, averageValue }))
    if (quantity !== undefined && (isNegative(quantity) || isZeroQuantity(quantity)))
      errors.push(invalidValue(at.child(name), quantity, 'must be positive'))
  if (averageUtilization !== undefined && averageUtilization < 1)
    errors.push(
      invalidValue(at.child('averageUtilization'), averageUtilization, 'must be greater than 0'),
    )
  return errors
}

/** Which of its amounts a target must and may give. */
function validateTargetOf(
  source: Source,
  { value, averageValue, averageUtilization }: Partial<MetricTarget>,
  at: FieldPath,
): readonly FieldError[] {
  const [average, percent] = [at.child('averageValue'), at.child('averageUtilization')]
  switch (source) {
    case 'resource':
    case 'containerResource':
      if (averageUtilization === undefined && averageValue === undefined)
        return [required(percent, 'must set either a target raw value or a target utilization')]
      return averageUtilization !== undefined && averageValue !== undefined
        ? [forbiddenField(average, 'may not set both a target raw value and a target utilization')]
        : []
    case 'pods':
      return averageValue === undefined
        ? [required(average, 'must specify a positive target averageValue')]
        : []
    case 'object':
      return value === undefined && averageValue === undefined
        ? [required(average, 'must set either a target value or averageValue')]
        : []
    case 'external':
      if (value === undefined && averageValue === undefined)
        return [required(average, 'must set either a target value for metric or a per-pod target')]
      return value !== undefined && averageValue !== undefined
        ? [
            forbiddenField(
              at.child('value'),
              'may not set both a target value for metric and a per-pod target',
            ),
          ]
        : []
  }
}

function validateRules(rules: HPAScalingRules, at: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const { stabilizationWindowSeconds: window, selectPolicy, policies = [], tolerance } = rules
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
    }
    if (periodSeconds > MAX_PERIOD_SECONDS) {
      errors.push(
        invalidValue(
          each.child('periodSeconds'),
          periodSeconds,
          `must be less than or equal to ${MAX_PERIOD_SECONDS}`,
        ),
      )
    }
  }
  if (tolerance !== undefined && isNegative(tolerance))
    errors.push(
      invalidValue(at.child('tolerance'), tolerance, 'must be greater than or equal to 0'),
    )
  return errors
}
