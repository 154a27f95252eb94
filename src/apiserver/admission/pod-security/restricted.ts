/** The checks of the level restricted, in the order in which they are told. */
import {
  type Check,
  capabilitiesAdded,
  named,
  plural,
  quoted,
  setters,
  unique,
  unmaskedProc,
} from './check.ts'

export const RESTRICTED: readonly Check[] = [
  {
    id: 'allowPrivilegeEscalation',
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
    since: 35,
    replaces: 'procMount',
    run: ({ containers }) => unmaskedProc(containers),
  },
  {
    id: 'restrictedVolumes',
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
