/** Rules about containers: of the main kind, those that initialize, and those added to look inside. */
import {
  type FieldPath,
  duplicate,
  fieldNotFound,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
  type FieldError,
} from '#machinery'
import type {
  Container,
  ContainerPort,
  EphemeralContainer,
  LifecycleHandler,
  PodSpec,
  Probe,
  HTTPGetAction,
  VolumeDevice,
  VolumeMount,
} from '../../types.gen.ts'
import { check, dnsLabel, httpHeaderName, nonNegative, portName, portNumber } from '../../rules.ts'
import { validateEnv, validateEnvFrom } from './validate-env.ts'
import { claimNames, validateResizePolicy, validateResources } from './resources.ts'
import { validateStopSignal } from './validate-os.ts'
import { validateContainerSecurity } from './validate-security.ts'

type AnyContainer = Container | EphemeralContainer
interface Surroundings {
  readonly spec: PodSpec
  readonly volumes: ReadonlyMap<string, { readonly isClaim: boolean }>
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
    errors.push(...validateRestart(container, at))
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

function validatePorts(ports: readonly ContainerPort[], path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const names = new Set<string>()
  for (const [i, { name = '', containerPort, hostPort = 0 }] of ports.entries()) {
    const at = path.index(i)
    if (name !== '') {
      const wrong = check(at.child('name'), name, portName)
      if (wrong.length > 0) errors.push(...wrong)
      else if (names.has(name)) errors.push(duplicate(at.child('name'), name))
      names.add(name)
    }
    if (containerPort === 0) errors.push(required(at.child('containerPort')))
    else errors.push(...check(at.child('containerPort'), containerPort, portNumber))
    if (hostPort !== 0) errors.push(...check(at.child('hostPort'), hostPort, portNumber))
  }
  return errors
}

/** One port of the host serves one container of the pod. */
function hostPortConflicts(spec: PodSpec, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const sidecars = (spec.initContainers ?? []).filter((c) => c.restartPolicy === 'Always')
  const taken = new Set<string>()
  const lists = [
    { containers: sidecars, path: path.child('initContainers') },
    { containers: spec.containers ?? [], path: path.child('containers') },
  ]
  for (const list of lists) {
    for (const [i, { ports = [] }] of list.containers.entries()) {
      for (const [
        j,
        { hostPort = 0, protocol = 'TCP', hostIP = '', containerPort },
      ] of ports.entries()) {
        if (hostPort === 0) continue
        const at = list.path.index(i).child('ports').index(j)
        if (spec.hostNetwork === true && hostPort !== containerPort) {
          errors.push(
            invalidValue(
              at.child('containerPort'),
              containerPort,
              'must match `hostPort` when `hostNetwork` is true',
            ),
          )
        }
        const key = `${protocol}/${hostIP}/${hostPort}`
        if (taken.has(key)) errors.push(duplicate(at.child('hostPort'), key))
        taken.add(key)
      }
    }
  }
  return errors
}

function validateMounts(
  container: AnyContainer,
  volumes: Surroundings['volumes'],
  path: FieldPath,
): readonly FieldError[] {
  const { volumeMounts = [], volumeDevices = [] } = container
  if (volumeMounts.length === 0 && volumeDevices.length === 0) return []
  const errors: FieldError[] = []
  const paths = new Set<string>()
  for (const [i, mount] of volumeMounts.entries()) {
    const at = path.child('volumeMounts').index(i)
    errors.push(...validateMount(mount, volumes, at))
    if (paths.has(mount.mountPath)) {
      errors.push(invalidValue(at.child('mountPath'), mount.mountPath, 'must be unique'))
    }
    paths.add(mount.mountPath)
    const privileged = container.securityContext?.privileged === true
    if (mount.mountPropagation === 'Bidirectional' && !privileged) {
      errors.push(
        forbiddenField(
          at.child('mountPropagation'),
          'Bidirectional mount propagation is available only to privileged containers',
        ),
      )
    }
  }
  errors.push(...validateDevices(volumeDevices, volumes, paths, path.child('volumeDevices')))
  return errors
}

function validateMount(
  mount: VolumeMount,
  volumes: Surroundings['volumes'],
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  const { name, mountPath, subPath = '', subPathExpr = '', recursiveReadOnly } = mount
  if (name === '') errors.push(required(path.child('name')))
  if (name !== '' && !volumes.has(name)) errors.push(fieldNotFound(path.child('name'), name))
  if (mountPath.includes(':')) {
    errors.push(invalidValue(path.child('mountPath'), mountPath, "must not contain ':'"))
  }
  if (subPath !== '') errors.push(...relativePath(subPath, path.child('subPath')))
  if (subPathExpr !== '') {
    if (subPath !== '') {
      errors.push(
        invalidValue(
          path.child('subPathExpr'),
          subPathExpr,
          'subPathExpr and subPath are mutually exclusive',
        ),
      )
    }
    errors.push(...relativePath(subPathExpr, path.child('subPathExpr')))
  }
  if (recursiveReadOnly !== undefined) {
    const at = path.child('recursiveReadOnly')
    const values = ['Disabled', 'Enabled', 'IfPossible']
    if (!values.includes(recursiveReadOnly)) {
      errors.push(notSupported(at, recursiveReadOnly, values))
    } else if (recursiveReadOnly !== 'Disabled' && mount.readOnly !== true) {
      errors.push(forbiddenField(at, 'may only be specified when readOnly is true'))
    }
  }
  return errors
}

/** Inside the volume, and not above it. */
export function relativePath(value: string, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  if (value.startsWith('/')) errors.push(invalidValue(path, value, 'must be a relative path'))
  if (value.split('/').includes('..')) {
    errors.push(invalidValue(path, value, "must not contain '..'"))
  }
  return errors
}

function validateDevices(
  devices: readonly VolumeDevice[],
  volumes: Surroundings['volumes'],
  mountPaths: ReadonlySet<string>,
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  const paths = new Set<string>()
  const names = new Set<string>()
  for (const [i, { name, devicePath }] of devices.entries()) {
    const at = path.index(i)
    const volume = volumes.get(name)
    if (names.has(name)) errors.push(invalidValue(at.child('name'), name, 'must be unique'))
    if (name !== '' && volume === undefined) errors.push(fieldNotFound(at.child('name'), name))
    if (volume?.isClaim === false) {
      errors.push(
        invalidValue(
          at.child('name'),
          name,
          'can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode',
        ),
      )
    }
    if (paths.has(devicePath)) {
      errors.push(invalidValue(at.child('devicePath'), devicePath, 'must be unique'))
    }
    if (devicePath.split('/').includes('..')) {
      errors.push(
        invalidValue(at.child('devicePath'), devicePath, 'can not contain backsteps (..)'),
      )
    }
    if (mountPaths.has(devicePath)) {
      errors.push(
        invalidValue(at.child('devicePath'), devicePath, 'must not already exist in volumeMounts'),
      )
    }
    names.add(name)
    paths.add(devicePath)
  }
  return errors
}

function validateLifecycle(
  { lifecycle }: Container,
  spec: PodSpec,
  path: FieldPath,
): readonly FieldError[] {
  if (lifecycle === undefined) return []
  const { terminationGracePeriodSeconds = 30 } = spec
  const at = path.child('lifecycle')
  const errors: FieldError[] = [
    ...validateStopSignal(lifecycle.stopSignal, spec, at.child('stopSignal')),
  ]
  for (const name of ['postStart', 'preStop'] as const) {
    const handler = lifecycle[name]
    if (handler) {
      errors.push(...validateHandler(handler, at.child(name), terminationGracePeriodSeconds))
    }
  }
  return errors
}

function validateProbes(
  container: Container,
  spec: PodSpec,
  path: FieldPath,
): readonly FieldError[] {
  const { livenessProbe, readinessProbe, startupProbe } = container
  const grace = spec.terminationGracePeriodSeconds ?? 30
  const errors: FieldError[] = []
  if (livenessProbe) {
    const at = path.child('livenessProbe')
    errors.push(...validateProbe(livenessProbe, at, grace), ...succeedsOnce(livenessProbe, at))
  }
  if (readinessProbe) {
    const at = path.child('readinessProbe')
    errors.push(...validateProbe(readinessProbe, at, grace))
    if (readinessProbe.terminationGracePeriodSeconds !== undefined) {
      errors.push(
        invalidValue(
          at.child('terminationGracePeriodSeconds'),
          readinessProbe.terminationGracePeriodSeconds,
          'must not be set for readinessProbes',
        ),
      )
    }
  }
  if (startupProbe) {
    const at = path.child('startupProbe')
    errors.push(...validateProbe(startupProbe, at, grace), ...succeedsOnce(startupProbe, at))
  }
  return errors
}

const succeedsOnce = ({ successThreshold = 1 }: Probe, path: FieldPath): readonly FieldError[] =>
  successThreshold === 1
    ? []
    : [invalidValue(path.child('successThreshold'), successThreshold, 'must be 1')]

const PROBE_NUMBERS = [
  'initialDelaySeconds',
  'timeoutSeconds',
  'periodSeconds',
  'successThreshold',
  'failureThreshold',
] as const

function validateProbe(probe: Probe, path: FieldPath, grace: number): readonly FieldError[] {
  const errors = [...validateHandler(probe, path, grace)]
  for (const name of PROBE_NUMBERS) errors.push(...nonNegative(probe[name], path.child(name)))
  const own = probe.terminationGracePeriodSeconds
  if (own !== undefined && own <= 0) {
    errors.push(
      invalidValue(path.child('terminationGracePeriodSeconds'), own, 'must be greater than 0'),
    )
  }
  return errors
}

type Handler = LifecycleHandler & Pick<Probe, 'grpc'>

function validateHandler(handler: Handler, path: FieldPath, grace: number): readonly FieldError[] {
  const { exec, httpGet, tcpSocket, grpc, sleep } = handler
  const errors: FieldError[] = []
  let handlers = 0
  const one = (name: string, rules: (path: FieldPath) => readonly FieldError[]): void => {
    if (handlers > 0) {
      errors.push(forbiddenField(path.child(name), 'may not specify more than 1 handler type'))
    } else errors.push(...rules(path.child(name)))
    handlers++
  }
  if (exec) {
    one('exec', (at) => ((exec.command ?? []).length === 0 ? [required(at.child('command'))] : []))
  }
  if (httpGet) one('httpGet', (at) => validateHttp(httpGet, at))
  if (tcpSocket) one('tcpSocket', (at) => validatePort(tcpSocket.port, at.child('port')))
  if (grpc) one('grpc', (at) => check(at.child('port'), grpc.port, portNumber))
  if (sleep) {
    one('sleep', (at) =>
      sleep.seconds < 0 || sleep.seconds > grace
        ? [
            invalidValue(
              at,
              sleep.seconds,
              `must be non-negative and less than terminationGracePeriodSeconds (${grace})`,
            ),
          ]
        : [],
    )
  }
  if (handlers === 0) errors.push(required(path, 'must specify a handler type'))
  return errors
}

function validateHttp(action: HTTPGetAction, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  if ((action.path ?? '') === '') errors.push(required(path.child('path')))
  errors.push(...validatePort(action.port, path.child('port')))
  for (const { name } of action.httpHeaders ?? []) {
    errors.push(...check(path.child('httpHeaders'), name, httpHeaderName))
  }
  return errors
}

function validatePort(port: number | string | undefined, path: FieldPath): readonly FieldError[] {
  if (typeof port === 'string') return check(path, port, portName)
  return check(path, port ?? 0, portNumber)
}

const RESTART_POLICIES = ['Always', 'Never', 'OnFailure']

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
