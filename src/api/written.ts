/** The resources that have more to say than their facts. */
import type { ResourceDefinition } from '#machinery'
import { core } from './core/index.ts'

export const written: readonly ResourceDefinition[] = [...core]
