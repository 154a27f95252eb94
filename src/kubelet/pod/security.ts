/** Security contexts of pod and container, put together as the runtime takes them. */
import type { Pod, SeccompProfile, SecurityContext } from '#api'
import type {
  ContainerSecurity,
  NamespaceOptions,
  PodSandboxConfig,
  SecurityProfile,
  SelinuxOptions,
} from '../runtime.ts'
import { type AnyContainer, allContainers } from './containers.ts'

const MASKED_PATHS: readonly string[] = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
]
const READONLY_PATHS: readonly string[] = [
  '/proc/bus',
  '/proc/fs',
  '/proc/irq',
  '/proc/sys',
  '/proc/sysrq-trigger',
]

export interface SecurityFacts {
  /** Folder of local seccomp profiles. */
  readonly seccompRoot: string
  /** The kernel enforces AppArmor. */
  readonly apparmor: boolean
}

function namespaceOptions({ spec }: Pod): NamespaceOptions {
  return {
    network: spec.hostNetwork === true ? 'NODE' : 'POD',
    ipc: spec.hostIPC === true ? 'NODE' : 'POD',
    pid: spec.hostPID === true ? 'NODE' : spec.shareProcessNamespace === true ? 'POD' : 'CONTAINER',
  }
}

/** Debuggers too, which come later: a runtime makes privileged containers only in such a sandbox. */
const privileged = (pod: Pod): boolean =>
  [...allContainers(pod)].some(([{ securityContext }]) => securityContext?.privileged === true)

export function sandboxSecurity(
  pod: Pod,
  facts: SecurityFacts,
): PodSandboxConfig['linux']['securityContext'] {
  const context = pod.spec.securityContext ?? {}
  return {
    namespaceOptions: namespaceOptions(pod),
    ...(context.runAsUser === undefined ? {} : { runAsUser: context.runAsUser }),
    ...(context.runAsUser === undefined || context.runAsGroup === undefined
      ? {}
      : { runAsGroup: context.runAsGroup }),
    supplementalGroups: groupsOf(pod),
    supplementalGroupsPolicy: context.supplementalGroupsPolicy ?? 'Merge',
    privileged: privileged(pod),
    readonlyRootfs: false,
    // The pause process: confined whatever the containers ask for.
    seccomp: seccompOf(context.seccompProfile ?? { type: 'RuntimeDefault' }, facts),
    ...selinuxOf(context.seLinuxOptions),
  }
}

const groupsOf = ({ spec }: Pod): readonly number[] => [
  ...(spec.securityContext?.supplementalGroups ?? []),
  ...(spec.securityContext?.fsGroup === undefined ? [] : [spec.securityContext.fsGroup]),
]

function seccompOf(profile: SeccompProfile | undefined, facts: SecurityFacts): SecurityProfile {
  switch (profile?.type) {
    case 'RuntimeDefault':
      return { profileType: 'RuntimeDefault', localhostRef: '' }
    case 'Localhost':
      return {
        profileType: 'Localhost',
        localhostRef: `${facts.seccompRoot}/${profile.localhostProfile ?? ''}`,
      }
    default:
      return { profileType: 'Unconfined', localhostRef: '' }
  }
}

function selinuxOf(
  options: SecurityContext['seLinuxOptions'],
): { selinuxOptions: SelinuxOptions } | undefined {
  if (options === undefined) return undefined
  const { user = '', role = '', type = '', level = '' } = options
  return { selinuxOptions: { user, role, type, level } }
}

export interface ImageUser {
  readonly uid?: number
  readonly username: string
}

/** Refused: the pod asks for a user that is not root, and the image does not promise one. */
export function nonRootProblem(
  pod: Pod,
  container: AnyContainer,
  image: ImageUser,
  podName: string,
): string | undefined {
  const own = container.securityContext ?? {}
  const shared = pod.spec.securityContext ?? {}
  if ((own.runAsNonRoot ?? shared.runAsNonRoot) !== true) return undefined
  const asked = own.runAsUser ?? shared.runAsUser
  const where = `(pod: "${podName}", container: ${container.name})`
  if (asked === 0) return `container's runAsUser breaks non-root policy ${where}`
  if (asked !== undefined || (image.uid !== undefined && image.uid !== 0)) return undefined
  if (image.username !== '') {
    return `container has runAsNonRoot and image has non-numeric user (${image.username}), cannot verify user is non-root ${where}`
  }
  return `container has runAsNonRoot and image will run as root ${where}`
}

export function containerSecurity(
  pod: Pod,
  container: AnyContainer,
  image: ImageUser,
  facts: SecurityFacts,
  targetId: string | undefined,
): ContainerSecurity {
  const own = container.securityContext ?? {}
  const shared = pod.spec.securityContext ?? {}
  const isPrivileged = own.privileged === true
  const runAsUser = own.runAsUser ?? shared.runAsUser
  const runAsGroup = own.runAsGroup ?? shared.runAsGroup
  const unmasked = own.procMount === 'Unmasked'
  const namespaces = namespaceOptions(pod)
  const selinux = selinuxOf(own.seLinuxOptions ?? shared.seLinuxOptions)
  return {
    capabilities: {
      add: own.capabilities?.add ?? [],
      drop: own.capabilities?.drop ?? [],
    },
    privileged: isPrivileged,
    namespaceOptions:
      targetId === undefined ? namespaces : { ...namespaces, pid: 'TARGET', targetId },
    ...selinux,
    ...userOf(runAsUser, runAsGroup, image),
    readonlyRootfs: own.readOnlyRootFilesystem === true,
    supplementalGroups: groupsOf(pod),
    supplementalGroupsPolicy: shared.supplementalGroupsPolicy ?? 'Merge',
    // Says that nothing in it may gain privileges, unless it has them all anyway.
    noNewPrivs: own.allowPrivilegeEscalation === false && !isPrivileged,
    maskedPaths: unmasked || isPrivileged ? [] : MASKED_PATHS,
    readonlyPaths: unmasked || isPrivileged ? [] : READONLY_PATHS,
    seccomp: isPrivileged
      ? { profileType: 'Unconfined', localhostRef: '' }
      : seccompOf(own.seccompProfile ?? shared.seccompProfile, facts),
    ...apparmorOf(own.appArmorProfile ?? shared.appArmorProfile, isPrivileged, facts),
  }
}

function userOf(
  runAsUser: number | undefined,
  runAsGroup: number | undefined,
  image: ImageUser,
): Pick<ContainerSecurity, 'runAsUser' | 'runAsGroup' | 'runAsUsername'> {
  const group = runAsGroup === undefined ? {} : { runAsGroup }
  if (runAsUser !== undefined) return { runAsUser, ...group }
  if (image.uid !== undefined) return { runAsUser: image.uid, ...group }
  if (image.username !== '') return { runAsUsername: image.username, ...group }
  // A group needs a user beside it: root is what an image without one runs as.
  return runAsGroup === undefined ? {} : { runAsUser: 0, runAsGroup }
}

function apparmorOf(
  profile: SecurityContext['appArmorProfile'],
  isPrivileged: boolean,
  facts: SecurityFacts,
): { apparmor: SecurityProfile } | undefined {
  if (!facts.apparmor || isPrivileged) return undefined
  const type = profile?.type ?? 'RuntimeDefault'
  if (type === 'Localhost') {
    return { apparmor: { profileType: 'Localhost', localhostRef: profile?.localhostProfile ?? '' } }
  }
  return {
    apparmor: {
      profileType: type === 'Unconfined' ? 'Unconfined' : 'RuntimeDefault',
      localhostRef: '',
    },
  }
}

/** Namespaced and harmless: what a pod may set without the node's leave. */
const SAFE_SYSCTLS = new Set([
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.ping_group_range',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_wmem',
])

/** The first sysctl that this node does not allow. `allowed` has names, or prefixes that end in `*`. */
export function forbiddenSysctl(pod: Pod, allowed: readonly string[]): string | undefined {
  const fits = (name: string) =>
    SAFE_SYSCTLS.has(name) ||
    allowed.some((rule) =>
      rule.endsWith('*') ? name.startsWith(rule.slice(0, -1)) : name === rule,
    )
  return pod.spec.securityContext?.sysctls
    ?.map(({ name }) => name.replaceAll('/', '.'))
    .find((name) => !fits(name))
}
