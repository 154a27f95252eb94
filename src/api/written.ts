/** The resources that have more to say than their facts. */
import type { ResourceDefinition } from '#machinery'
import { apps } from './apps.ts'
import { batch } from './batch/index.ts'
import { core } from './core/index.ts'

export const written: readonly ResourceDefinition[] = [...core, ...apps, ...batch]
