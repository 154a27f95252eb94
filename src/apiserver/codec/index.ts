export { Codec } from './codec.ts'
export { fieldProblems, type DecodedBody } from './decoder.ts'
