import { persistentVolumeClaims, pods, type PersistentVolumeClaim, type Pod } from '#api'
import {
  controllerReference,
  create,
  defineController,
  event,
  isControlledBy,
  isFinished,
  isTerminating,
  nothing,
  watching,
  type Decision,
} from '../framework/index.ts'

export interface Observed {
  readonly pod: Pod
  readonly claim: (name: string) => PersistentVolumeClaim | undefined
}

/** A volume that lives with its pod is a claim that the pod owns. */
export function decide({ pod, claim }: Observed): Decision {
  if (isTerminating(pod) || isFinished(pod)) return nothing
  return {
    actions: (pod.spec.volumes ?? []).flatMap(({ name, ephemeral }) => {
      const template = ephemeral?.volumeClaimTemplate
      if (template === undefined) return []
      const claimName = `${pod.metadata.name}-${name}`
      const found = claim(claimName)
      if (found !== undefined)
        return isControlledBy(found, pod)
          ? []
          : [
              event(
                pod,
                'Warning',
                'FailedCreate',
                `ephemeral volume claim: PVC "${claimName}" was not created for the pod`,
              ),
            ]
      const { labels, annotations } = template.metadata ?? {}
      return [
        create(persistentVolumeClaims, {
          metadata: {
            name: claimName,
            namespace: pod.metadata.namespace ?? '',
            ...(labels === undefined ? {} : { labels }),
            ...(annotations === undefined ? {} : { annotations }),
            ownerReferences: [controllerReference(pods, pod)],
          },
          spec: template.spec,
        }),
      ]
    }),
  }
}

const hasEphemeral = ({ spec }: Pod): boolean =>
  (spec.volumes ?? []).some(({ ephemeral }) => ephemeral !== undefined)

/** Makes the claims of volumes that live with their pod. */
export const ephemeralVolumeController = defineController<Observed>({
  name: 'ephemeral-volume',
  component: 'ephemeral-volume-controller',
  for: pods,
  concerns: hasEphemeral,
  watches: [
    watching<PersistentVolumeClaim>(persistentVolumeClaims, ({ metadata }, old) =>
      old === undefined
        ? (metadata.ownerReferences ?? [])
            .filter(({ kind }) => kind === 'Pod')
            .map(({ name }) => `${metadata.namespace}/${name}`)
        : [],
    ),
  ],
  observe(cache, key) {
    const pod = cache.get(pods, key)
    return pod !== undefined && hasEphemeral(pod)
      ? {
          pod,
          claim: (name) => cache.get(persistentVolumeClaims, `${pod.metadata.namespace}/${name}`),
        }
      : undefined
  },
  decide,
})
