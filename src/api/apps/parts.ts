/** What the workloads share: paths, columns, words. */
import { FieldPath, type JsonObject } from '#machinery'
import { containerImages, containerNames, selectorText } from '../columns.ts'
import type { DaemonSet, Deployment, ReplicaSet, StatefulSet } from '../types.gen.ts'

/** Where all of them say what they are to be. */
export const path = FieldPath.of('spec')
export const selectorPath = path.child('selector')

/** Where the scale of a workload is. */
export const scale = {
  specReplicas: '.spec.replicas',
  statusReplicas: '.status.replicas',
  selector: '.spec.selector',
}

type WithTemplate = Deployment | ReplicaSet | DaemonSet | StatefulSet
/** Columns of what has a template of pods. */
export const workloadCells = {
  Containers: ({ spec }: WithTemplate) => containerNames(spec.template?.spec),
  Images: ({ spec }: WithTemplate) => containerImages(spec.template?.spec),
}
export const selectorCell = { Selector: ({ spec }: WithTemplate) => selectorText(spec.selector) }

/** How a refused strategy is shown: in the words of the server's own form of it. */
export const strategyText = (
  type = '',
  rolling: { readonly maxUnavailable?: unknown; readonly maxSurge?: unknown } | undefined,
): JsonObject => ({
  Type: type,
  RollingUpdate:
    rolling === undefined
      ? null
      : { MaxUnavailable: rolling.maxUnavailable ?? 0, MaxSurge: rolling.maxSurge ?? 0 },
})
