/** The checks of the level baseline, in the order in which they are told. */
import type { Container, PodSecurityContext } from '#api'
import type { ObjectMeta } from '#machinery'
import {
  type AnyContainer,
  type Check,
  type Sight,
  type Violation,
  capabilitiesAdded,
  named,
  plural,
  quoted,
  setters,
  unique,
  unmaskedProc,
} from './check.ts'

export const BASELINE: readonly Check[] = [
  {
    id: 'appArmorProfile',
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
    run({ spec, containers, minor }) {
      // From 1.35 on an unmasked proc is harmless in a user namespace.
      return minor >= 35 && spec.hostUsers === false ? undefined : unmaskedProc(containers)
    },
  },
  {
    id: 'seLinuxOptions',
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
    run: (sight) =>
      forbiddenSetting(
        'hostProcess',
        sight,
        ({ windowsOptions }) => windowsOptions?.hostProcess,
        'securityContext.windowsOptions.hostProcess=true',
      ),
  },
]

const APPARMOR = 'container.apparmor.security.beta.kubernetes.io/'

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
