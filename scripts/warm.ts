/** Runs most of the program once after an installation, so that its compiled form is at hand at the first start. */
import { keepCompiled } from '../src/cli/compile-cache.ts'

keepCompiled()
const [{ createCluster }] = await Promise.all([
  import('../src/cluster/library/index.ts'),
  import('../src/cli/program.ts'),
  import('../src/cli/commands/up.ts'),
  import('../src/cli/commands/demo.ts'),
])
const cluster = await createCluster()
await cluster.ready
await cluster.stop()
process.exit()
