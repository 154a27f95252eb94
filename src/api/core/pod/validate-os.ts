/** A pod that says which system it needs asks for nothing that the other one has. */
import { forbiddenField, notSupported, type FieldError, type FieldPath } from '#machinery'
import type { Container, PodSpec } from '../../types.gen.ts'

const NOT_ON_WINDOWS = 'cannot be set for a windows pod'

const POD_FIELDS = [
  'appArmorProfile',
  'seLinuxOptions',
  'seccompProfile',
  'fsGroup',
  'fsGroupChangePolicy',
  'sysctls',
  'runAsUser',
  'runAsGroup',
  'supplementalGroups',
  'supplementalGroupsPolicy',
] as const

const CONTAINER_FIELDS = [
  'appArmorProfile',
  'seLinuxOptions',
  'seccompProfile',
  'capabilities',
  'readOnlyRootFilesystem',
  'privileged',
  'allowPrivilegeEscalation',
  'procMount',
  'runAsUser',
  'runAsGroup',
] as const

const isSet = (value: unknown): boolean =>
  value !== undefined && !(Array.isArray(value) && value.length === 0)

export function validateOs(spec: PodSpec, path: FieldPath): readonly FieldError[] {
  const os = spec.os?.name
  // That it has a name is a rule of the facts.
  if (os === undefined || (os as string) === '') return []
  if (os === 'windows') return onWindows(spec, path)
  if (os === 'linux') return onLinux(spec, path)
  return [notSupported(path.child('os'), os, ['linux', 'windows'])]
}

function onWindows(spec: PodSpec, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const forbid = (at: FieldPath): void => void errors.push(forbiddenField(at, NOT_ON_WINDOWS))
  const { securityContext } = spec
  for (const name of POD_FIELDS)
    if (isSet(securityContext?.[name])) forbid(path.child('securityContext', name))
  for (const name of ['hostUsers', 'shareProcessNamespace'] as const)
    if (spec[name] !== undefined) forbid(path.child(name))
  for (const name of ['hostPID', 'hostIPC'] as const)
    if (spec[name] === true) forbid(path.child(name))
  eachContainer(spec, path, ({ securityContext: context }, at) => {
    for (const name of CONTAINER_FIELDS)
      if (isSet(context?.[name])) forbid(at.child('securityContext', name))
  })
  return errors
}

function onLinux(spec: PodSpec, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const check = ({ securityContext }: Pick<Container, 'securityContext'>, at: FieldPath): void => {
    if (securityContext?.windowsOptions !== undefined)
      errors.push(
        forbiddenField(
          at.child('securityContext', 'windowsOptions'),
          'windows options cannot be set for a linux pod',
        ),
      )
  }
  check(spec as Pick<Container, 'securityContext'>, path)
  eachContainer(spec, path, check)
  return errors
}

function eachContainer(
  spec: PodSpec,
  path: FieldPath,
  visit: (container: Container, at: FieldPath) => void,
): void {
  for (const field of ['initContainers', 'containers', 'ephemeralContainers'] as const)
    for (const [i, container] of ((spec[field] ?? []) as readonly Container[]).entries())
      visit(container, path.child(field).index(i))
}

const SYSTEM_UNKNOWN = 'may not be set for containers with empty `spec.os.name`'
const WINDOWS_SIGNALS = ['SIGKILL', 'SIGTERM']

/** Signals differ between systems. */
export function validateStopSignal(
  signal: string | undefined,
  { os }: PodSpec,
  path: FieldPath,
): readonly FieldError[] {
  if (signal === undefined) return []
  if ((os?.name ?? '') === '') return [forbiddenField(path, SYSTEM_UNKNOWN)]
  return os?.name === 'windows' && !WINDOWS_SIGNALS.includes(signal)
    ? [notSupported(path, signal, WINDOWS_SIGNALS)]
    : []
}
