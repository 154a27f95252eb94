/** A real kubectl beside the mirrors: `$KUBECTL`, or the one that the tests of this repository carry. */
import { spawn, type ChildProcess } from 'node:child_process'
import { kubectlPath } from '../support/tools.ts'
import type { Fixture } from './mirror.ts'

export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

const program = (): string => process.env['KUBECTL'] ?? kubectlPath()

const flags = ({ api, namespace }: Fixture): string[] => [
  ...(api.config.file === undefined ? [] : ['--kubeconfig', api.config.file]),
  ...(api.config.context === undefined ? [] : ['--context', api.config.context]),
  '--namespace',
  namespace,
]

export const startKubectl = (fixture: Fixture, ...args: string[]): ChildProcess =>
  spawn(program(), [...flags(fixture), ...args], { stdio: ['pipe', 'pipe', 'pipe'] })

/** Whatever comes of it. */
export function tryKubectl(
  fixture: Fixture,
  args: readonly string[],
  stdin?: string,
): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = startKubectl(fixture, ...args)
    let [stdout, stderr] = ['', '']
    child.stdout?.on('data', (chunk) => (stdout += String(chunk)))
    child.stderr?.on('data', (chunk) => (stderr += String(chunk)))
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, stdout, stderr }))
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(stdin)
  })
}

/** What it printed; it must succeed. */
export async function kubectl(
  fixture: Fixture,
  args: readonly string[],
  stdin?: string,
): Promise<string> {
  const { code, stdout, stderr } = await tryKubectl(fixture, args, stdin)
  if (code !== 0) throw new Error(`kubectl ${args.join(' ')} ended with ${code}: ${stderr}`)
  return stdout
}
