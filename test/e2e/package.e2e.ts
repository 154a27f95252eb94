/** What `npm pack` ships: the bundles run by themselves. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { kubectlPath, root } from '../support/tools.ts'

describe('the package', () => {
  let base: string
  let env: NodeJS.ProcessEnv
  const run = (command: string, ...words: string[]): string => {
    const ran = spawnSync(command, words, { env, encoding: 'utf8', timeout: 180_000 })
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

  test('the library as the README shows it passes the compiler at its strictest, and runs', () => {
    const project = join(base, 'project')
    const installed = join(project, 'node_modules', 'navarch')
    // Copies: through a link the compiler would find the sources.
    for (const path of ['dist', 'facts', 'package.json'])
      cpSync(join(root, path), join(installed, path), { recursive: true })
    for (const name of ['@kubernetes-models', '@types', 'jose', 'kubernetes-models'])
      symlinkSync(join(root, 'node_modules', name), join(project, 'node_modules', name))
    const example = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(root, 'README.md'), 'utf8'))?.[1]
    assert.ok(example)
    const program = `${example}
// The compiler would tell if this were right: what the client takes is not \`any\`.
// @ts-expect-error
export const wrong = () => cluster.client.create(deployments, { metadata: {}, spec: 7 })
console.log('ran')
`
    writeFileSync(join(project, 'user.ts'), program)
    const compilerOptions = {
      strict: true,
      noEmit: true,
      skipLibCheck: false,
      module: 'nodenext',
      target: 'es2024',
      types: ['node'],
    }
    writeFileSync(join(project, 'package.json'), JSON.stringify({ type: 'module' }))
    writeFileSync(
      join(project, 'tsconfig.json'),
      JSON.stringify({ compilerOptions, files: ['user.ts'] }),
    )
    run(join(root, 'node_modules', '.bin', 'tsc'), '-p', project)
    assert.equal(run(process.execPath, join(project, 'user.ts')), 'ran\n')
  })
})
