export { startScheduler, type RunningScheduler, type SchedulerOptions } from './scheduler.ts'
export {
  definePlugin,
  failure,
  skip,
  success,
  unresolvable,
  unschedulable,
  type Plugin,
  type Verdict,
} from './framework.ts'
