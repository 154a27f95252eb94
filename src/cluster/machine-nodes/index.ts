/** The nodes of a machine beside its first one. */
export { realNodes, removeNodes, type RealNodesOptions } from './real.ts'
export { simulatedNodes } from './simulated.ts'
export { MAX_NODES, nodesRecord } from './record.ts'
export type { MachineNode, MachineNodes } from './contract.ts'
