import type { CustomResourceDefinition } from '#api'
import type { FieldError } from '#machinery'
export const validateDefinition = (_crd: CustomResourceDefinition): readonly FieldError[] => []
export const validateDefinitionUpdate = (
  _crd: CustomResourceDefinition,
  _old: CustomResourceDefinition,
): readonly FieldError[] => []
export const warningsOf = (_crd: CustomResourceDefinition): readonly string[] => []
