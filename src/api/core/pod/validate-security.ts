/** Rules about users, privileges and kernel settings. */
import {
  type FieldPath,
  duplicate,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
  type FieldError,
} from '#machinery'
import { goForm } from '../../go-form.ts'
import type {
  AppArmorProfile,
  Container,
  EphemeralContainer,
  PodSpec,
  SeccompProfile,
} from '../../types.gen.ts'

const MAX_ID = 2_147_483_647
const SYSCTL_SEGMENT = '[a-z0-9]([-_a-z0-9]*[a-z0-9])?'
const SYSCTL = new RegExp(`^(${SYSCTL_SEGMENT}[\\./])*${SYSCTL_SEGMENT}$`)
const SYSCTL_TEXT = `^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$`

export function validatePodSecurity(spec: PodSpec, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  if (spec.hostPID === true && spec.shareProcessNamespace === true) {
    errors.push(
      invalidValue(
        path.child('securityContext', 'shareProcessNamespace'),
        true,
        'ShareProcessNamespace and HostPID cannot both be enabled',
      ),
    )
  }
  if (spec.hostUsers === false) {
    for (const name of ['hostPID', 'hostIPC', 'hostNetwork'] as const) {
      if (spec[name] === true) {
        errors.push(forbiddenField(path.child(name), 'when `pod.Spec.HostUsers` is false'))
      }
    }
  }
  const context = spec.securityContext
  if (context === undefined) return errors
  const at = path.child('securityContext')
  errors.push(...validateId(context.fsGroup, at.child('fsGroup')))
  for (const [i, group] of (context.supplementalGroups ?? []).entries()) {
    errors.push(...validateId(group, at.child('supplementalGroups').index(i)))
  }
  errors.push(...validateId(context.runAsUser, at.child('runAsUser')))
  errors.push(...validateId(context.runAsGroup, at.child('runAsGroup')))
  errors.push(...validateSysctls(spec, at.child('sysctls')))
  const { seLinuxChangePolicy } = context
  if (seLinuxChangePolicy !== undefined && seLinuxChangePolicy !== 'Recursive')
    errors.push(notSupported(at.child('seLinuxChangePolicy'), seLinuxChangePolicy, ['Recursive']))
  errors.push(...validateSeccomp(context.seccompProfile, at.child('seccompProfile')))
  errors.push(...validateAppArmor(context.appArmorProfile, at.child('appArmorProfile')))
  return errors
}

function validateId(id: number | undefined, path: FieldPath): readonly FieldError[] {
  if (id === undefined || (id >= 0 && id <= MAX_ID)) return []
  return [invalidValue(path, id, `must be between 0 and ${MAX_ID}, inclusive`)]
}

function validateSysctls(spec: PodSpec, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const names = new Set<string>()
  for (const [i, { name }] of (spec.securityContext?.sysctls ?? []).entries()) {
    const at = path.index(i).child('name')
    if (name === '') continue
    if (name.length > 253 || !SYSCTL.test(name)) {
      errors.push(
        invalidValue(at, name, `must have at most 253 characters and match regex ${SYSCTL_TEXT}`),
      )
      continue
    }
    if (names.has(name)) errors.push(duplicate(at, name))
    names.add(name)
    const dotted = name.replaceAll('/', '.')
    if (spec.hostNetwork === true && dotted.startsWith('net.')) {
      errors.push(invalidValue(at, name, "may not be specified when 'hostNetwork' is true"))
    }
    const isIpc = dotted.startsWith('fs.mqueue.') || /^kernel\.(shm|msg|sem)/.test(dotted)
    if (spec.hostIPC === true && isIpc) {
      errors.push(invalidValue(at, name, "may not be specified when 'hostIPC' is true"))
    }
  }
  return errors
}

function validateSeccomp(
  profile: SeccompProfile | undefined,
  path: FieldPath,
): readonly FieldError[] {
  if (profile === undefined) return []
  const at = path.child('localhostProfile')
  const file = profile.localhostProfile
  if (profile.type === 'Localhost') {
    if (file === undefined || file === '') {
      return [required(at, 'must be set when seccomp type is Localhost')]
    }
    if (file.startsWith('/') || file.split('/').includes('..')) {
      return [invalidValue(at, file, 'must be a relative path')]
    }
    return []
  }
  return file === undefined
    ? []
    : [
        invalidValue(
          at,
          goForm('core.v1.SeccompProfile', profile),
          'can only be set when seccomp type is Localhost',
        ),
      ]
}

function validateAppArmor(
  profile: AppArmorProfile | undefined,
  path: FieldPath,
): readonly FieldError[] {
  if (profile === undefined) return []
  const at = path.child('localhostProfile')
  if (profile.type === 'Localhost') {
    return (profile.localhostProfile ?? '').trim() === ''
      ? [required(at, 'must be set when AppArmor type is Localhost')]
      : []
  }
  return profile.localhostProfile === undefined
    ? []
    : [
        invalidValue(
          at,
          profile.localhostProfile,
          'can only be set when AppArmor type is Localhost',
        ),
      ]
}

export function validateContainerSecurity(
  { securityContext: context }: Container | EphemeralContainer,
  spec: PodSpec,
  path: FieldPath,
): readonly FieldError[] {
  if (context === undefined) return []
  const errors: FieldError[] = []
  errors.push(...validateId(context.runAsUser, path.child('runAsUser')))
  errors.push(...validateId(context.runAsGroup, path.child('runAsGroup')))
  if (context.procMount === 'Unmasked' && spec.hostUsers !== false) {
    errors.push(
      invalidValue(
        path.child('procMount'),
        context.procMount,
        '`hostUsers` must be false to use `Unmasked`',
      ),
    )
  }
  errors.push(...validateSeccomp(context.seccompProfile, path.child('seccompProfile')))
  errors.push(...validateAppArmor(context.appArmorProfile, path.child('appArmorProfile')))
  if (context.allowPrivilegeEscalation === false) {
    if (context.privileged === true) {
      errors.push(
        invalidValue(
          path,
          context,
          'cannot set `allowPrivilegeEscalation` to false and `privileged` to true',
        ),
      )
    }
    const added = context.capabilities?.add ?? []
    if (added.includes('CAP_SYS_ADMIN')) {
      errors.push(
        invalidValue(
          path,
          context,
          'cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN',
        ),
      )
    }
  }
  return errors
}
