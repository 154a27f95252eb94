export { admitOnly, type AdmissionTarget } from './admission.ts'
export { createObject } from './create.ts'
export { deleteObject, deletedStatus, returnsObject } from './delete.ts'
export { revisionDiffers, uidDiffers } from './identity.ts'
export { applyScale, formed, patchObject, patchType, patched, readPatch } from './patch.ts'
export { replace } from './store.ts'
export {
  bindNamespace,
  idOf,
  type Allocator,
  type Outcome,
  type WriteTarget,
  type Writer,
} from './target.ts'
export { inTurn } from './turns.ts'
export { updateObject } from './update.ts'
