export { type CriRuntime, criRuntime } from './runtime.ts'
export { diskLogFiles } from './log-files.ts'
