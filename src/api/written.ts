/** The resources that have more to say than their facts. */
import type { ResourceDefinition } from '#machinery'
import { apps } from './apps.ts'
import { autoscaling } from './autoscaling/index.ts'
import { batch } from './batch/index.ts'
import { coordination } from './coordination.ts'
import { core } from './core/index.ts'
import { networking } from './networking.ts'
import { policy } from './policy.ts'
import { rbac } from './rbac.ts'
import { storage } from './storage.ts'

export const written: readonly ResourceDefinition[] = [
  ...core,
  ...apps,
  ...autoscaling,
  ...batch,
  ...coordination,
  ...networking,
  ...policy,
  ...rbac,
  ...storage,
]
