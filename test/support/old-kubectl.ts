/** Debian's kubectl 1.20: it asks for OpenAPI v2 in protobuf, finds groups one by one, and streams over SPDY. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './tools.ts'

const folder = join(root, 'node_modules', '.cache', 'navarch-tools', 'kubectl-old')
const program = join(folder, 'usr', 'bin', 'kubectl')

/** Its path, or why it cannot be had here. It is fetched on first use, and not installed. */
export function oldKubectl(): { readonly path: string } | { readonly missing: string } {
  if (existsSync(program)) return { path: program }
  const fetched = `${folder}.part`
  rmSync(fetched, { recursive: true, force: true })
  mkdirSync(fetched, { recursive: true })
  const run = (command: string, words: readonly string[]): boolean =>
    spawnSync(command, words, { cwd: fetched, timeout: 120_000 }).status === 0
  try {
    if (!run('apt-get', ['download', 'kubernetes-client']))
      return { missing: 'apt-get cannot download kubernetes-client' }
    const archive = readdirSync(fetched).find((name) => name.endsWith('.deb'))
    if (archive === undefined || !run('dpkg', ['-x', archive, folder]) || !existsSync(program))
      return { missing: 'the package kubernetes-client cannot be unpacked' }
    return { path: program }
  } finally {
    rmSync(fetched, { recursive: true, force: true })
  }
}
