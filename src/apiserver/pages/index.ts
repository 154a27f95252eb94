export { componentStatuses } from './component-statuses.ts'
export { pagesHandler } from './pages.ts'
export { startChecks } from './start-checks.ts'
export { GIT_VERSION, describeBuild } from './version.ts'
