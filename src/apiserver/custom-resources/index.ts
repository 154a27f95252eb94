export { completeDefinition } from './definition.ts'
export { followDefinitions } from './follow.ts'
export { objectRemover } from './remove.ts'
export { webhookConversion } from './review.ts'
