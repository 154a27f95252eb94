/** Kubernetes' dialect of CEL (cel-spec; KEP-2876, KEP-3488): parsed, typed by schemas, compiled, its cost counted. */
export type { CelAuthorizer, CelAuthorizerAttributes, CelDecision } from './authorizer.ts'
export { CelError } from './errors.ts'
export { toJson as celToJson } from './json.ts'
export {
  compileCel,
  type CelBudget,
  type CelDeclaration,
  type CelFailure,
  type CelOptions,
  type CelOutcome,
  type CelProgram,
} from './program.ts'
export { escapeProperty, objectOf } from './schema.ts'
export type { CelType } from './types.ts'
export { CelStruct } from './values.ts'
