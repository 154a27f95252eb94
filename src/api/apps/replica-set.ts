/** Replica sets: as many pods of one template. */
import { defaultPodTemplate } from '../core/pod/defaults.ts'
import {
  IN_POD_NAMES,
  hostnameWarnings,
  isNewSpec,
  podTemplateWarnings,
} from '../core/pod/warnings.ts'
import { defineResource } from '../define.ts'
import { replicaSets as replicaSetsRef } from '../resources.gen.ts'
import { immutable, nonNegative } from '../rules.ts'
import { validateWorkload } from '../workload.ts'
import { path, scale, selectorCell, selectorPath, workloadCells } from './parts.ts'

export const replicaSets = defineResource(replicaSetsRef, {
  defaults({ spec }) {
    defaultPodTemplate(spec.template)
    spec.replicas ??= 1
  },
  validate: ({ spec }) => [
    ...nonNegative(spec.replicas, path.child('replicas')),
    ...nonNegative(spec.minReadySeconds, path.child('minReadySeconds')),
    ...validateWorkload({ ...spec, template: spec.template ?? {} }, path, {
      kind: 'ReplicaSet',
      emptySelector: 'deployment',
      badSelector: 'invalid label selector',
    }),
  ],
  validateUpdate: (now, old) => immutable(now.spec.selector, old.spec.selector, selectorPath),
  warnings: (now, old) =>
    isNewSpec(now, old)
      ? [
          ...hostnameWarnings(old === undefined ? now.metadata.name : undefined, IN_POD_NAMES),
          ...podTemplateWarnings(now.spec.template),
        ]
      : [],
  scale,
  cells: {
    Desired: ({ spec }) => spec.replicas ?? 0,
    Current: ({ status }) => status?.replicas ?? 0,
    Ready: ({ status }) => status?.readyReplicas ?? 0,
    ...workloadCells,
    ...selectorCell,
  },
})
