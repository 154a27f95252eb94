export { listen } from './listen.ts'
export type { ListenOptions, Listening } from './listening.ts'
