export type * from './meta.gen.ts'
export * from './definition.ts'
export * from './facts.ts'
export * from './field.ts'
export { deepFreeze, ofFrozen } from './frozen.ts'
export { durationNanos } from './go-duration.ts'
export * from './json.ts'
export { jsonSyntaxError } from './json-syntax.ts'
export { applyConfiguration, type Applied } from './ownership/apply.ts'
export type { OwnershipContext } from './ownership/entries.ts'
export { trackUpdate } from './ownership/track.ts'
export { exactInteger, parseJson } from './integers.ts'
export { bytesOfShared, parseSharing } from './ownership/shared-fields.ts'
export { goFloat, goNumber, isInt64 } from './go-number.ts'
export { goJson } from './go-json.ts'
export { unifiedDiff } from './line-diff.ts'
export { goText } from './go-text.ts'
export { mergeConfiguration } from './ownership/merge.ts'
export * from './names.ts'
export * from './names-ip.ts'
export * from './object.ts'
export {
  definitionsOf,
  openApiName,
  openApiV2,
  openApiV3,
  openApiV3Discovery,
  openApiV3Index,
  type OpenApiOptions,
} from './openapi/openapi.ts'
export { openApiV2ToV3 } from './openapi/convert.ts'
export { customDefinitionName, customSchemas, type CustomVersion } from './openapi/custom.ts'
export type { QueryParameters } from './openapi/path.ts'
export {
  encodeOpenApiDefinition,
  encodeOpenApiHead,
  encodeOpenApiPath,
  openApiMemberStart,
} from './openapi/protobuf.ts'
export { encodeOpenApiV3 } from './openapi/v3-protobuf.ts'
export type { Describe, ExtraSchemas } from './openapi/schema.ts'
export { applyJsonPatch, equal } from './patch/json.ts'
export { applyMergePatch } from './patch/merge.ts'
export { applyStrategicPatch } from './patch/strategic.ts'
export * from './protobuf/protobuf.ts'
export * from './quantity.ts'
export * from './selectors.ts'
export { LEAF, shapeOf, UNDECLARED, UNTYPED, type Shape } from './shape.ts'
export * from './status.ts'
export * from './table.ts'
export { timestamp } from './time.ts'
export { decodeTyped, type DecodeResult } from './typed.ts'
export { readForm, writtenForm } from './written-form.ts'
export { TypeMismatchError } from './typed-mismatch.ts'
export type { TableOptions } from './table.ts'
export type { Quantity } from './quantity.ts'
// Ours go before the generated ones of the same name.
export type { WatchEvent } from './object.ts'
export type { GroupResource } from './status.ts'
