/** What is true of CustomResourceDefinitions beyond their own group's rules: their schemas, and how they end. */
import type { CustomResourceDefinition } from '#api'
import type { JsonObject, ResourceDefinition } from '#machinery'
import { CLEANUP } from './follow.ts'
import { withCondition } from './names.ts'
import { validateDefinition, validateDefinitionUpdate, warningsOf } from './validate-definition.ts'

const GROUP = 'apiextensions.k8s.io'

/** The definition of definitions with what their schemas need; every other one as it is. */
export function completeDefinition(definition: ResourceDefinition): ResourceDefinition {
  const { facts } = definition
  if (facts.group !== GROUP || facts.resource !== 'customresourcedefinitions') return definition
  return {
    ...definition,
    validate: (object) => [
      ...definition.validate(object),
      ...validateDefinition(object as unknown as CustomResourceDefinition),
    ],
    validatesUpdateAlone: true,
    validateUpdate(object, old, context) {
      // Who writes conditions is not asked about schemas.
      if (context.subresource !== '') return definition.validateUpdate(object, old, context)
      return [
        ...definition.validate(object),
        ...definition.validateUpdate(object, old, context),
        ...validateDefinitionUpdate(
          object as unknown as CustomResourceDefinition,
          old as CustomResourceDefinition,
        ),
      ]
    },
    warnings: (object, old) => [
      ...definition.warnings(object, old),
      ...warningsOf(object as unknown as CustomResourceDefinition),
    ],
    prepareForDelete: (object, now) => beginEnding(object, now),
  }
}

/** It waits for its objects. */
function beginEnding(object: JsonObject, now: Date): void {
  const metadata = object['metadata'] as { finalizers?: readonly string[] }
  const { finalizers = [] } = metadata
  if (!finalizers.includes(CLEANUP)) metadata.finalizers = [...finalizers, CLEANUP]
  const crd = object as unknown as CustomResourceDefinition
  object['status'] = {
    ...crd.status,
    conditions: withCondition(
      crd.status?.conditions ?? [],
      {
        type: 'Terminating',
        status: 'True',
        reason: 'InstanceDeletionPending',
        message:
          'CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon',
      },
      now,
    ),
  }
}
