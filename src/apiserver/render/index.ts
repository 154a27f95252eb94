export { listReply } from './list.ts'
export {
  entryJson,
  entryProtobuf,
  entryReply,
  includeObjectOf,
  isBuiltIn,
  listKindOf,
  objectReply,
  partial,
  withoutKind,
  writtenReply,
  type IncludeObject,
  type RenderContext,
} from './render.ts'
