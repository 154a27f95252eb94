export { Codec } from './codec.ts'
export type { ItemEncoder } from './encoder.ts'
export { fieldProblems, type DecodedBody } from './decoder.ts'
