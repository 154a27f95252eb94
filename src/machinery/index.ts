export type * from './meta.gen.ts'
export * from './definition.ts'
export * from './facts.ts'
export * from './field.ts'
export * from './object.ts'
export * from './status.ts'
// Ours go before the generated ones of the same name.
export type { WatchEvent } from './object.ts'
export type { GroupResource } from './status.ts'
