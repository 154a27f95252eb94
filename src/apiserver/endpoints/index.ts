export { methodNotAllowed, type Dispatcher } from './call.ts'
export { resourceHandler } from './dispatch.ts'
