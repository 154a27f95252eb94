/** The resources that have more to say than their facts. */
import type { ResourceDefinition } from '#machinery'

export const written: readonly ResourceDefinition[] = []
