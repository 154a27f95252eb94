/** The checks of the Pod Security Standards, in the order and the words in which violations are told. */
import type { Container, EphemeralContainer, PodSecurityContext, PodSpec } from '#api'
import type { ObjectMeta } from '#machinery'

export type Level = 'privileged' | 'baseline' | 'restricted'

export interface Policy {
  readonly level: Level
  /** `latest` or `v1.30`. */
  readonly version: string
}

interface Violation {
  readonly reason: string
  readonly detail: string
}

type AnyContainer = Container | EphemeralContainer

interface Sight {
  readonly metadata: Partial<ObjectMeta>
  readonly spec: PodSpec
  readonly pod: PodSecurityContext
  /** Init containers, then containers, then ephemeral ones. */
  readonly containers: readonly AnyContainer[]
  readonly minor: number
  readonly windows: boolean
}

interface Check {
  /** Upstream's name: checks are told in the order of names. */
  readonly id: string
  readonly level: 'baseline' | 'restricted'
  /** Checks of the baseline that this one contains. */
  readonly replaces?: string
  /** The first minor version that has it. */
  readonly since?: number
  run(sight: Sight): Violation | undefined
}

/** What the pod does that the policy forbids, as one text; '' for nothing. `short` leaves out details. */
export function violations(
  { level, version }: Policy,
  metadata: Partial<ObjectMeta>,
  spec: PodSpec,
  { short = false }: { readonly short?: boolean } = {},
): string {
  if (level === 'privileged') return ''
  const minor = version === 'latest' ? Number.POSITIVE_INFINITY : Number(version.slice(3))
  const sight: Sight = {
    metadata,
    spec,
    pod: spec.securityContext ?? {},
    containers: [
      ...(spec.initContainers ?? []),
      ...(spec.containers ?? []),
      ...(spec.ephemeralContainers ?? []),
    ],
    minor,
    windows: spec.os?.name === 'windows',
  }
  const applies = (check: Check): boolean => (check.since ?? 0) <= minor
  const restricted =
    level === 'restricted' ? CHECKS.filter((check) => check.level === 'restricted') : []
  const replaced = new Set(restricted.filter(applies).map(({ replaces }) => replaces))
  const baseline = CHECKS.filter((check) => check.level === 'baseline' && !replaced.has(check.id))
  return [...baseline, ...restricted]
    .filter(applies)
    .map((check) => check.run(sight))
    .filter((violation) => violation !== undefined)
    .map(({ reason, detail }) => (short || detail === '' ? reason : `${reason} (${detail})`))
    .join(', ')
}

/** Between quotes as they are: nothing in them is escaped. */
const quoted = (names: readonly string[]): string => `"${names.join('", "')}"`
const plural = (one: string, many: string, count: number): string => (count === 1 ? one : many)
/** `container "a"`, `containers "a", "b"`. */
const named = (containers: readonly AnyContainer[]): string =>
  `${plural('container', 'containers', containers.length)} ${quoted(containers.map(({ name }) => name))}`

/** `pod`, `container "a"`, or both. */
const setters = (pod: boolean, containers: readonly AnyContainer[]): string =>
  [...(pod ? ['pod'] : []), ...(containers.length > 0 ? [named(containers)] : [])].join(' and ')

const unique = (values: readonly string[]): readonly string[] => [...new Set(values)].toSorted()

/** A value that neither the pod nor some of its containers may set. */
function forbiddenSetting(
  reason: string,
  { pod, containers }: Pick<Sight, 'pod' | 'containers'>,
  isBad: (
    context: PodSecurityContext | NonNullable<Container['securityContext']>,
  ) => boolean | undefined,
  what: string,
): Violation | undefined {
  const podIsBad = isBad(pod) ?? false
  const bad = containers.filter(({ securityContext }) => isBad(securityContext ?? {}))
  if (!podIsBad && bad.length === 0) return undefined
  return { reason, detail: `${setters(podIsBad, bad)} must not set ${what}` }
}

const DEFAULT_CAPABILITIES: readonly string[] = [
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'NET_BIND_SERVICE',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
]

/** Sysctls that are safe, by the minor version from which on they count as such. */
const SAFE_SYSCTLS: Readonly<Record<string, number>> = {
  'kernel.shm_rmid_forced': 0,
  'net.ipv4.ip_local_port_range': 0,
  'net.ipv4.tcp_syncookies': 0,
  'net.ipv4.ping_group_range': 0,
  'net.ipv4.ip_unprivileged_port_start': 0,
  'net.ipv4.ip_local_reserved_ports': 27,
  'net.ipv4.tcp_keepalive_time': 29,
  'net.ipv4.tcp_fin_timeout': 29,
  'net.ipv4.tcp_keepalive_intvl': 29,
  'net.ipv4.tcp_keepalive_probes': 29,
  'net.ipv4.tcp_rmem': 32,
  'net.ipv4.tcp_wmem': 32,
}

const SELINUX_TYPES: readonly string[] = ['', 'container_t', 'container_init_t', 'container_kvm_t']
const RESTRICTED_VOLUMES: readonly string[] = [
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'persistentVolumeClaim',
  'projected',
  'secret',
  'image',
]

const SECCOMP_TYPES: readonly string[] = ['RuntimeDefault', 'Localhost']
const SECCOMP = 'seccomp.security.alpha.kubernetes.io/'

/** Before 1.19 a profile was named by annotations, and only they were looked at. */
function seccompAnnotations(
  { annotations = {} }: Partial<ObjectMeta>,
  containers: readonly AnyContainer[],
): Violation | undefined {
  const keys = [`${SECCOMP}pod`, ...containers.map(({ name }) => `container.${SECCOMP}${name}`)]
  const found = unique(
    keys.flatMap((key) => {
      const value = annotations[key]
      if (value === undefined || /^(runtime\/default$|docker\/default$|localhost\/)/.test(value))
        return []
      return [`${key}=${JSON.stringify(value)}`]
    }),
  )
  if (found.length === 0) return undefined
  return {
    reason: 'seccompProfile',
    detail: `forbidden ${plural('annotation', 'annotations', found.length)} ${found.join(', ')}`,
  }
}

function unmaskedProc(containers: readonly AnyContainer[]): Violation | undefined {
  const mounts = containers.flatMap((container) => {
    const type = container.securityContext?.procMount
    return type === undefined || type === 'Default' ? [] : [{ container, type }]
  })
  if (mounts.length === 0) return undefined
  const types = unique(mounts.map(({ type }) => type))
  return {
    reason: 'procMount',
    detail: `${named(mounts.map(({ container }) => container))} must not set securityContext.procMount to ${quoted(types)}`,
  }
}

const APPARMOR = 'container.apparmor.security.beta.kubernetes.io/'

const capabilitiesAdded = (
  containers: readonly AnyContainer[],
  allowed: readonly string[],
): { readonly bad: readonly AnyContainer[]; readonly names: readonly string[] } => {
  const extra = ({ securityContext }: AnyContainer): readonly string[] =>
    (securityContext?.capabilities?.add ?? []).filter((name) => !allowed.includes(name))
  const bad = containers.filter((container) => extra(container).length > 0)
  return { bad, names: unique(bad.flatMap(extra)) }
}

const CHECKS: readonly Check[] = [
  {
    id: 'appArmorProfile',
    level: 'baseline',
    run({ metadata, pod, containers }) {
      const isBad = (type: string | undefined): boolean =>
        type !== undefined && type !== 'RuntimeDefault' && type !== 'Localhost'
      const podIsBad = isBad(pod.appArmorProfile?.type)
      const bad = containers.filter(({ securityContext }) =>
        isBad(securityContext?.appArmorProfile?.type),
      )
      const annotated = Object.entries(metadata.annotations ?? {})
        .filter(
          ([key, value]) =>
            key.startsWith(APPARMOR) &&
            value !== '' &&
            value !== 'runtime/default' &&
            !value.startsWith('localhost/'),
        )
        .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
        .toSorted()
      const values = [
        ...unique([
          ...(podIsBad ? [pod.appArmorProfile?.type ?? ''] : []),
          ...bad.map(({ securityContext }) => securityContext?.appArmorProfile?.type ?? ''),
        ]),
        ...annotated,
      ]
      if (values.length === 0) return undefined
      const who = [
        ...(podIsBad || bad.length > 0 ? [setters(podIsBad, bad)] : []),
        ...(annotated.length > 0 ? [plural('annotation', 'annotations', annotated.length)] : []),
      ]
      return {
        reason: plural('forbidden AppArmor profile', 'forbidden AppArmor profiles', values.length),
        detail: `${who.join(' and ')} must not set AppArmor profile type to ${quoted(values)}`,
      }
    },
  },
  {
    id: 'capabilities_baseline',
    level: 'baseline',
    run({ containers }) {
      const { bad, names } = capabilitiesAdded(containers, DEFAULT_CAPABILITIES)
      return bad.length === 0
        ? undefined
        : {
            reason: 'non-default capabilities',
            detail: `${named(bad)} must not include ${quoted(names)} in securityContext.capabilities.add`,
          }
    },
  },
  {
    id: 'hostNamespaces',
    level: 'baseline',
    run({ spec }) {
      const used = [
        ...(spec.hostNetwork ? ['hostNetwork=true'] : []),
        ...(spec.hostPID ? ['hostPID=true'] : []),
        ...(spec.hostIPC ? ['hostIPC=true'] : []),
      ]
      return used.length === 0 ? undefined : { reason: 'host namespaces', detail: used.join(', ') }
    },
  },
  {
    id: 'hostPathVolumes',
    level: 'baseline',
    run({ spec }) {
      const names = (spec.volumes ?? []).filter(({ hostPath }) => hostPath).map(({ name }) => name)
      return names.length === 0
        ? undefined
        : {
            reason: 'hostPath volumes',
            detail: `${plural('volume', 'volumes', names.length)} ${quoted(names)}`,
          }
    },
  },
  {
    id: 'hostPorts',
    level: 'baseline',
    run({ containers }) {
      const portsOf = ({ ports = [] }: AnyContainer): readonly number[] =>
        ports.flatMap(({ hostPort }) => (hostPort ? [hostPort] : []))
      const bad = containers.filter((container) => portsOf(container).length > 0)
      const ports = unique(bad.flatMap(portsOf).map(String))
      return bad.length === 0
        ? undefined
        : {
            reason: 'hostPort',
            detail: `${named(bad)} ${plural('uses', 'use', bad.length)} ${plural('hostPort', 'hostPorts', ports.length)} ${ports.join(', ')}`,
          }
    },
  },
  {
    id: 'hostProbesAndHostLifecycle',
    level: 'baseline',
    since: 34,
    run({ containers }) {
      const hostsOf = (container: AnyContainer): readonly string[] =>
        [
          container.livenessProbe,
          container.readinessProbe,
          container.startupProbe,
          container.lifecycle?.postStart,
          container.lifecycle?.preStop,
        ].flatMap((handler) =>
          [handler?.httpGet?.host, handler?.tcpSocket?.host].filter(
            (host): host is string => host !== undefined && host !== '',
          ),
        )
      const bad = containers.filter((container) => hostsOf(container).length > 0)
      const hosts = unique(bad.flatMap(hostsOf))
      return bad.length === 0
        ? undefined
        : {
            reason: 'probe or lifecycle host',
            detail: `${named(bad)} ${plural('uses', 'use', bad.length)} probe or lifecycle ${plural('host', 'hosts', hosts.length)} ${quoted(hosts)}`,
          }
    },
  },
  {
    id: 'privileged',
    level: 'baseline',
    run({ containers }) {
      const bad = containers.filter(({ securityContext }) => securityContext?.privileged)
      return bad.length === 0
        ? undefined
        : {
            reason: 'privileged',
            detail: `${named(bad)} must not set securityContext.privileged=true`,
          }
    },
  },
  {
    id: 'procMount',
    level: 'baseline',
    run({ spec, containers, minor }) {
      // From 1.35 on an unmasked proc is harmless in a user namespace.
      return minor >= 35 && spec.hostUsers === false ? undefined : unmaskedProc(containers)
    },
  },
  {
    id: 'seLinuxOptions',
    level: 'baseline',
    run({ pod, containers, minor }) {
      const allowed = minor >= 31 ? [...SELINUX_TYPES, 'container_engine_t'] : SELINUX_TYPES
      const options = (
        context: Pick<PodSecurityContext, 'seLinuxOptions'> | undefined,
      ): PodSecurityContext['seLinuxOptions'] => context?.seLinuxOptions
      const isBad = (context: Pick<PodSecurityContext, 'seLinuxOptions'> | undefined): boolean => {
        const set = options(context)
        return set !== undefined && (!allowed.includes(set.type ?? '') || !!set.user || !!set.role)
      }
      const podIsBad = isBad(pod)
      const bad = containers.filter(({ securityContext }) => isBad(securityContext))
      if (!podIsBad && bad.length === 0) return undefined
      const sets = [
        ...(podIsBad ? [options(pod)] : []),
        ...bad.map(({ securityContext }) => options(securityContext)),
      ]
      const types = unique(
        sets.map((set) => set?.type ?? '').filter((type) => !allowed.includes(type)),
      )
      const parts = [
        ...(types.length === 0
          ? []
          : [`${plural('type', 'types', types.length)} ${quoted(types)}`]),
        ...(sets.some((set) => set?.user) ? ['user may not be set'] : []),
        ...(sets.some((set) => set?.role) ? ['role may not be set'] : []),
      ]
      return {
        reason: 'seLinuxOptions',
        detail: `${setters(podIsBad, bad)} set forbidden securityContext.seLinuxOptions: ${parts.join('; ')}`,
      }
    },
  },
  {
    id: 'seccompProfile_baseline',
    level: 'baseline',
    run({ metadata, pod, containers, minor }) {
      if (minor < 19) return seccompAnnotations(metadata, containers)
      const isBad = (type: string | undefined): boolean =>
        type !== undefined && !SECCOMP_TYPES.includes(type)
      const podIsBad = isBad(pod.seccompProfile?.type)
      const bad = containers.filter(({ securityContext }) =>
        isBad(securityContext?.seccompProfile?.type),
      )
      if (!podIsBad && bad.length === 0) return undefined
      const types = unique([
        ...(podIsBad ? [pod.seccompProfile?.type ?? ''] : []),
        ...bad.map(({ securityContext }) => securityContext?.seccompProfile?.type ?? ''),
      ])
      return {
        reason: 'seccompProfile',
        detail: `${setters(podIsBad, bad)} must not set securityContext.seccompProfile.type to ${quoted(types)}`,
      }
    },
  },
  {
    id: 'sysctls',
    level: 'baseline',
    run({ pod, minor }) {
      const bad = (pod.sysctls ?? [])
        .map(({ name }) => name)
        .filter((name) => {
          const since = SAFE_SYSCTLS[name]
          return since === undefined || since > minor
        })
      return bad.length === 0 ? undefined : { reason: 'forbidden sysctls', detail: bad.join(', ') }
    },
  },
  {
    id: 'windowsHostProcess',
    level: 'baseline',
    run(sight) {
      const found = forbiddenSetting(
        'hostProcess',
        sight,
        ({ windowsOptions }) => windowsOptions?.hostProcess,
        'securityContext.windowsOptions.hostProcess=true',
      )
      return found
    },
  },
  {
    id: 'allowPrivilegeEscalation',
    level: 'restricted',
    since: 8,
    run({ containers, windows, minor }) {
      if (windows && minor >= 25) return undefined
      const bad = containers.filter(
        ({ securityContext }) => securityContext?.allowPrivilegeEscalation !== false,
      )
      return bad.length === 0
        ? undefined
        : {
            reason: 'allowPrivilegeEscalation != false',
            detail: `${named(bad)} must set securityContext.allowPrivilegeEscalation=false`,
          }
    },
  },
  {
    id: 'capabilities_restricted',
    level: 'restricted',
    since: 22,
    replaces: 'capabilities_baseline',
    run({ containers, windows, minor }) {
      if (windows && minor >= 25) return undefined
      const undropped = containers.filter(
        ({ securityContext }) => !securityContext?.capabilities?.drop?.includes('ALL'),
      )
      const { bad, names } = capabilitiesAdded(containers, ['NET_BIND_SERVICE'])
      const parts = [
        ...(undropped.length === 0
          ? []
          : [`${named(undropped)} must set securityContext.capabilities.drop=["ALL"]`]),
        ...(bad.length === 0
          ? []
          : [
              `${named(bad)} must not include ${quoted(names)} in securityContext.capabilities.add`,
            ]),
      ]
      return parts.length === 0
        ? undefined
        : { reason: 'unrestricted capabilities', detail: parts.join('; ') }
    },
  },
  {
    id: 'procMount_restricted',
    level: 'restricted',
    since: 35,
    replaces: 'procMount',
    run: ({ containers }) => unmaskedProc(containers),
  },
  {
    id: 'restrictedVolumes',
    level: 'restricted',
    replaces: 'hostPathVolumes',
    run({ spec }) {
      const typeOf = (volume: object): string =>
        Object.keys(volume).find((key) => key !== 'name') ?? 'unknown'
      const bad = (spec.volumes ?? []).filter(
        (volume) => !RESTRICTED_VOLUMES.includes(typeOf(volume)),
      )
      const types = unique(bad.map(typeOf))
      return bad.length === 0
        ? undefined
        : {
            reason: 'restricted volume types',
            detail: `${plural('volume', 'volumes', bad.length)} ${quoted(bad.map(({ name }) => name))} ${plural('uses', 'use', bad.length)} restricted volume ${plural('type', 'types', types.length)} ${quoted(types)}`,
          }
    },
  },
  {
    id: 'runAsNonRoot',
    level: 'restricted',
    run({ pod, spec, containers, minor }) {
      // In a user namespace root is nobody outside.
      if (minor >= 35 && spec.hostUsers === false) return undefined
      const podIsBad = pod.runAsNonRoot === false
      const explicit = containers.filter(
        ({ securityContext }) => securityContext?.runAsNonRoot === false,
      )
      if (podIsBad || explicit.length > 0)
        return {
          reason: 'runAsNonRoot != true',
          detail: `${setters(podIsBad, explicit)} must not set securityContext.runAsNonRoot=false`,
        }
      if (pod.runAsNonRoot === true) return undefined
      const implicit = containers.filter(
        ({ securityContext }) => securityContext?.runAsNonRoot === undefined,
      )
      return implicit.length === 0
        ? undefined
        : {
            reason: 'runAsNonRoot != true',
            detail: `pod or ${named(implicit)} must set securityContext.runAsNonRoot=true`,
          }
    },
  },
  {
    id: 'runAsUser',
    level: 'restricted',
    since: 23,
    run({ pod, spec, containers, minor }) {
      if (minor >= 35 && spec.hostUsers === false) return undefined
      const podIsBad = pod.runAsUser === 0
      const bad = containers.filter(({ securityContext }) => securityContext?.runAsUser === 0)
      return podIsBad || bad.length > 0
        ? { reason: 'runAsUser=0', detail: `${setters(podIsBad, bad)} must not set runAsUser=0` }
        : undefined
    },
  },
  {
    id: 'seccompProfile_restricted',
    level: 'restricted',
    since: 19,
    replaces: 'seccompProfile_baseline',
    run({ pod, containers, windows, minor }) {
      if (windows && minor >= 25) return undefined
      const good = (type: string | undefined): boolean =>
        type === 'RuntimeDefault' || type === 'Localhost'
      const podType = pod.seccompProfile?.type
      const podIsBad = podType !== undefined && !good(podType)
      const explicit = containers.filter(({ securityContext }) => {
        const type = securityContext?.seccompProfile?.type
        return type !== undefined && !good(type)
      })
      if (podIsBad || explicit.length > 0) {
        const types = unique([
          ...(podIsBad ? [podType] : []),
          ...explicit.map(({ securityContext }) => securityContext?.seccompProfile?.type ?? ''),
        ])
        return {
          reason: 'seccompProfile',
          detail: `${setters(podIsBad, explicit)} must not set securityContext.seccompProfile.type to ${quoted(types)}`,
        }
      }
      if (good(podType)) return undefined
      const implicit = containers.filter(
        ({ securityContext }) => securityContext?.seccompProfile === undefined,
      )
      return implicit.length === 0
        ? undefined
        : {
            reason: 'seccompProfile',
            detail: `pod or ${named(implicit)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"`,
          }
    },
  },
]
