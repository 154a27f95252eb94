/** Rules about containers: of the main kind, those that initialize, and those added to look inside. */
import {
  type FieldError,
  type FieldPath,
  duplicate,
  fieldNotFound,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
} from '#machinery'
import type { Container, EphemeralContainer, PodSpec } from '../../types.gen.ts'
import { check, dnsLabel } from '../../rules.ts'
import { claimNames, validateResizePolicy, validateResources } from './resources.ts'
import { validateEnv, validateEnvFrom } from './validate-env.ts'
import { type NamedVolumes, validateMounts } from './validate-mounts.ts'
import { hostPortConflicts, validatePorts } from './validate-ports.ts'
import { validateLifecycle, validateProbes } from './validate-probes.ts'
import { validateContainerSecurity } from './validate-security.ts'

type AnyContainer = Container | EphemeralContainer
interface Surroundings {
  readonly spec: PodSpec
  readonly volumes: NamedVolumes
  readonly claims: ReadonlySet<string>
}

export function validateAllContainers(spec: PodSpec, path: FieldPath): readonly FieldError[] {
  const around: Surroundings = {
    spec,
    volumes: new Map(
      (spec.volumes ?? []).map((volume) => [
        volume.name,
        { isClaim: volume.persistentVolumeClaim !== undefined || volume.ephemeral !== undefined },
      ]),
    ),
    claims: claimNames(spec.resourceClaims),
  }
  return [
    ...validateContainers(spec.containers ?? [], around, path.child('containers')),
    ...validateInitContainers(spec, around, path.child('initContainers')),
    ...validateEphemeralContainers(spec, around, path.child('ephemeralContainers')),
    ...hostPortConflicts(spec, path),
  ]
}

function validateContainers(
  containers: readonly Container[],
  around: Surroundings,
  path: FieldPath,
): readonly FieldError[] {
  if (containers.length === 0) return [required(path)]
  const errors: FieldError[] = []
  const names = new Set<string>()
  for (const [i, container] of containers.entries()) {
    const at = path.index(i)
    errors.push(...validateCommon(container, around, at))
    if (names.has(container.name)) errors.push(duplicate(at.child('name'), container.name))
    names.add(container.name)
    errors.push(...validateLifecycle(container, around.spec, at))
    errors.push(...validateProbes(container, around.spec, at))
    errors.push(...validateRestart(container, at))
  }
  return errors
}

function validateInitContainers(
  { containers, initContainers = [] }: PodSpec,
  around: Surroundings,
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  const names = new Set(containers.map(({ name }) => name))
  for (const [i, container] of initContainers.entries()) {
    const at = path.index(i)
    errors.push(...validateCommon(container, around, at))
    if (names.has(container.name)) errors.push(duplicate(at.child('name'), container.name))
    names.add(container.name)
    errors.push(...validateInitRestart(container, at))
    if (container.restartPolicy === 'Always') {
      errors.push(...validateLifecycle(container, around.spec, at))
      errors.push(...validateProbes(container, around.spec, at))
      continue
    }
    for (const field of ['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe'] as const) {
      if (container[field] !== undefined) {
        errors.push(
          forbiddenField(
            at.child(field),
            'may not be set for init containers without restartPolicy=Always',
          ),
        )
      }
    }
  }
  return errors
}

const NOT_EPHEMERAL = [
  'ports',
  'restartPolicy',
  'restartPolicyRules',
  'resizePolicy',
  'livenessProbe',
  'readinessProbe',
  'startupProbe',
  'lifecycle',
] as const

function validateEphemeralContainers(
  { containers, initContainers = [], ephemeralContainers = [] }: PodSpec,
  around: Surroundings,
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  const others = new Set([...containers, ...initContainers].map(({ name }) => name))
  const names = new Set(others)
  for (const [i, container] of ephemeralContainers.entries()) {
    const at = path.index(i)
    errors.push(...validateCommon(container, around, at))
    if (names.has(container.name)) errors.push(duplicate(at.child('name'), container.name))
    names.add(container.name)
    const target = container.targetContainerName
    if (target !== undefined && target !== '' && !others.has(target)) {
      errors.push(fieldNotFound(at.child('targetContainerName'), target))
    }
    for (const field of NOT_EPHEMERAL) {
      if (container[field] !== undefined) {
        errors.push(forbiddenField(at.child(field), 'cannot be set for an Ephemeral Container'))
      }
    }
    const { limits, requests } = container.resources ?? {}
    if (limits !== undefined || requests !== undefined) {
      errors.push(forbiddenField(at.child('resources'), 'cannot be set for an Ephemeral Container'))
    }
    for (const [j, mount] of (container.volumeMounts ?? []).entries()) {
      for (const field of ['subPath', 'subPathExpr'] as const) {
        if (mount[field] !== undefined && mount[field] !== '') {
          errors.push(
            forbiddenField(
              at.child('volumeMounts').index(j).child(field),
              'cannot be set for an Ephemeral Container',
            ),
          )
        }
      }
    }
  }
  return errors
}

function validateCommon(
  container: AnyContainer,
  { spec, volumes, claims }: Surroundings,
  path: FieldPath,
): readonly FieldError[] {
  const { name, image = '' } = container
  const errors: FieldError[] = []
  if (name === '') errors.push(required(path.child('name')))
  else errors.push(...check(path.child('name'), name, dnsLabel))
  if (image === '') errors.push(required(path.child('image')))
  else if (image !== image.trim()) {
    errors.push(
      invalidValue(path.child('image'), image, 'must not have leading or trailing whitespace'),
    )
  }
  errors.push(...validatePorts(container.ports ?? [], path.child('ports')))
  errors.push(...validateEnv(container.env ?? [], path.child('env')))
  errors.push(...validateEnvFrom(container.envFrom ?? [], path.child('envFrom')))
  errors.push(...validateMounts(container, volumes, path))
  errors.push(...validateResources(container.resources, path.child('resources'), claims))
  errors.push(...validateResizePolicy(container, path, spec.restartPolicy))
  errors.push(...validateContainerSecurity(container, spec, path.child('securityContext')))
  return errors
}

const RESTART_POLICIES = ['Always', 'Never', 'OnFailure']

/** One that says nothing of its restarts is not asked for more. */
const validateInitRestart = (container: Container, at: FieldPath): readonly FieldError[] =>
  container.restartPolicy !== undefined || (container.restartPolicyRules ?? []).length === 0
    ? validateRestart(container, at)
    : [
        required(
          at.child('restartPolicy'),
          'must specify restartPolicy when restart rules are used',
        ),
      ]

function validateRestart(container: Container, path: FieldPath): readonly FieldError[] {
  const { restartPolicy, restartPolicyRules = [] } = container
  const errors: FieldError[] = []
  if (restartPolicy !== undefined && !RESTART_POLICIES.includes(restartPolicy)) {
    errors.push(notSupported(path.child('restartPolicy'), restartPolicy, RESTART_POLICIES))
  }
  if (restartPolicyRules.length === 0) return errors
  const at = path.child('restartPolicyRules')
  if (restartPolicy === undefined) {
    errors.push(
      required(
        path.child('restartPolicy'),
        'must specify restartPolicy when restart rules are used',
      ),
    )
  }
  if (restartPolicyRules.length > 20) {
    errors.push({
      type: 'FieldValueTooMany',
      field: at.toString(),
      detail: `Too many: ${restartPolicyRules.length}: must have at most 20 items`,
    })
  }
  for (const [i, { action = '', exitCodes }] of restartPolicyRules.entries()) {
    const rule = at.index(i)
    const actions = ['Restart', 'RestartAllContainers']
    if (!actions.includes(action)) errors.push(notSupported(rule.child('action'), action, actions))
    if (exitCodes === undefined) {
      errors.push(required(rule.child('exitCodes'), 'must be specified'))
    } else if (!['In', 'NotIn'].includes(exitCodes.operator ?? '')) {
      errors.push(
        notSupported(rule.child('exitCodes', 'operator'), exitCodes.operator, ['In', 'NotIn']),
      )
    }
  }
  return errors
}
