export * from './storage.ts'
export * from './embedded.ts'
export * from './errors.ts'
export * from './memory.ts'
