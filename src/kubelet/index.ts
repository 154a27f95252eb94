export * from './runtime.ts'
export * from './cri/index.ts'
