export { SIMULATION } from './containers.ts'
export { simulatedRuntime, type SimulatedOptions } from './runtime.ts'
