export type * from './types.gen.ts'
export * from './resources.gen.ts'
