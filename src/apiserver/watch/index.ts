export { watchReply } from './watch.ts'
