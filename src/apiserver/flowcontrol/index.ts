export { ensureFlowControl } from './defaults.ts'
export { createFlowControl, type Flow, type FlowControl } from './flow-control.ts'
export { withPriorityAndFairness } from './filter.ts'
export { followFlowControl, keepFlowStatus } from './follow.ts'
