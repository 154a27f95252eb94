export type * from './transport.ts'
export type * from './node-api.ts'
