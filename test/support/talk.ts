/** kubectl as a person types it: a line, and what is printed. Words that have spaces are put in as values. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import assert from 'node:assert/strict'
import type { Ran, TestCluster } from './navarch.ts'

type Line<T> = (parts: TemplateStringsArray, ...values: readonly string[]) => T

export interface Talk extends Line<string> {
  /** Standard output and error of a command that has to fail. */
  readonly fails: Line<string>
  /** Both outputs, and the code, of a command that may do either. */
  readonly runs: Line<Ran>
  /** The same with this as its standard input. */
  readonly given: (input: string) => Talk
  readonly env: (env: Readonly<Record<string, string>>) => Talk
}

interface Circumstances {
  readonly namespace?: string
  readonly program?: string
  readonly input?: string
  readonly env?: Readonly<Record<string, string>>
}

/** `get pods -l ${'app in (a, b)'}`: three words and a fourth. */
function wordsOf(parts: TemplateStringsArray, values: readonly string[]): readonly string[] {
  const words: string[] = []
  let open = ''
  for (const [i, part] of parts.entries()) {
    const [first = '', ...more] = part.split(/\s+/)
    words.push(open + first, ...more)
    open = (words.pop() ?? '') + (values[i] ?? '')
  }
  return [...words, open].filter((word) => word !== '')
}

export function talk(cluster: TestCluster, about: Circumstances = {}): Talk {
  const { namespace, ...options } = about
  const run = (parts: TemplateStringsArray, values: readonly string[], mayFail: boolean): Ran => {
    const words = wordsOf(parts, values)
    return cluster.kubectl(
      namespace === undefined ? words : [`--namespace=${namespace}`, ...words],
      { ...options, mayFail },
    )
  }
  const line: Line<string> = (parts, ...values) => run(parts, values, false).stdout.trimEnd()
  return Object.assign(line, {
    fails: ((parts, ...values) => {
      const { code, stdout, stderr } = run(parts, values, true)
      assert.notEqual(code, 0, `${wordsOf(parts, values).join(' ')} was to fail: ${stdout}`)
      return (stdout + stderr).trimEnd()
    }) satisfies Line<string>,
    runs: ((parts, ...values) => run(parts, values, true)) satisfies Line<Ran>,
    given: (input: string) => talk(cluster, { ...about, input }),
    env: (env: Readonly<Record<string, string>>) => talk(cluster, { ...about, env }),
  })
}

/** Files that kubectl reads by name; they are gone after `use`. */
export function withFiles<T>(
  files: Readonly<Record<string, string>>,
  use: (folder: string) => T,
): T {
  const folder = mkdtempSync(join(tmpdir(), 'navarch-files-'))
  try {
    for (const [name, text] of Object.entries(files)) {
      assert.equal(dirname(name), '.')
      writeFileSync(join(folder, name), text, { mode: name.endsWith('.sh') ? 0o755 : 0o644 })
    }
    return use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
