/** What `npm pack` ships: the bundles run by themselves. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { kubectlPath, root } from '../support/tools.ts'

describe('the package', () => {
  let base: string
  let env: NodeJS.ProcessEnv
  const run = (command: string, ...words: string[]): string => {
    const ran = spawnSync(command, words, { env, encoding: 'utf8', timeout: 60_000 })
    assert.equal(ran.status, 0, ran.stdout + ran.stderr)
    return ran.stdout
  }
  const dist = (file: string): string => join(root, 'dist', file)

  before(() => {
    base = mkdtempSync(join(tmpdir(), 'navarch-package-'))
    env = {
      ...process.env,
      NAVARCH_DATA_DIR: join(base, 'data'),
      KUBECONFIG: join(base, 'kubeconfig'),
      NODE_EXTRA_CA_CERTS: '',
    }
    run(process.execPath, join(root, 'scripts', 'build.ts'))
  })
  after(() => {
    run(process.execPath, dist('navarch.js'), 'delete', '--yes')
    rmSync(base, { recursive: true, force: true })
  })

  test('the program starts a cluster that kubectl talks to, and describes its fields', () => {
    run(
      process.execPath,
      dist('navarch.js'),
      'up',
      '--runtime=simulated',
      '--node-name=node-1',
      '--port=0',
    )
    assert.match(run(kubectlPath(), 'get', 'nodes'), /node-1\s+Ready/)
    assert.match(run(kubectlPath(), 'explain', 'pod.spec.containers.image'), /Container image name/)
  })

  test('the library makes a cluster in the process of who imports it', () => {
    const file = join(base, 'library.mjs')
    writeFileSync(
      file,
      `import { createCluster } from ${JSON.stringify(pathToFileURL(dist('index.js')).href)}
const cluster = await createCluster()
await cluster.ready
console.log('ready')
await cluster.stop()
`,
    )
    assert.equal(run(process.execPath, file), 'ready\n')
  })
})
