export * from './actions.ts'
export * from './controller.ts'
export * from './ownership.ts'
export * from './pods.ts'
