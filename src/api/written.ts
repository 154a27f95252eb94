/** The resources that have more to say than their facts. */
import type { ResourceDefinition } from '#machinery'
import { admissionRegistration } from './admissionregistration/index.ts'
import { apps } from './apps/index.ts'
import { autoscaling } from './autoscaling/index.ts'
import { batch } from './batch/index.ts'
import { betas } from './betas.ts'
import { certificates } from './certificates.ts'
import { coordination } from './coordination.ts'
import { core } from './core/index.ts'
import { devices } from './devices.ts'
import { extensions } from './extensions.ts'
import { flowcontrol } from './flowcontrol.ts'
import { networking } from './networking/index.ts'
import { policy } from './policy.ts'
import { rbac } from './rbac.ts'
import { reviews } from './reviews.ts'
import { storage } from './storage.ts'

export const written: readonly ResourceDefinition[] = [
  ...core,
  ...admissionRegistration,
  ...apps,
  ...autoscaling,
  ...batch,
  ...betas,
  ...certificates,
  ...coordination,
  ...devices,
  ...extensions,
  ...flowcontrol,
  ...networking,
  ...policy,
  ...rbac,
  ...reviews,
  ...storage,
]
