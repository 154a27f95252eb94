/** Putting our context into a kubeconfig that belongs to the user, and taking it out again. */
import { parse, stringify } from 'yaml'
import type { FileSystem } from '#base'
import { CommandError } from './command.ts'

interface Named {
  readonly name: string
}
interface Kubeconfig {
  readonly apiVersion: 'v1'
  readonly kind: 'Config'
  readonly 'current-context'?: string
  readonly clusters?: readonly Named[]
  readonly contexts?: readonly Named[]
  readonly users?: readonly Named[]
  readonly [key: string]: unknown
}

const LISTS = ['clusters', 'contexts', 'users'] as const

/** The user's text with our entries put in under `name`; entries of other names, and what we do not know, stay. */
export function mergeKubeconfig(theirs: string, ours: string, name: string): string {
  const config = read(theirs)
  const own = read(ours)
  const merged: Record<string, unknown> = { ...config, apiVersion: 'v1', kind: 'Config' }
  for (const list of LISTS) {
    const entry = own[list]?.[0]
    const others = (config[list] ?? []).filter((item) => item.name !== name)
    const renamed =
      list === 'contexts'
        ? {
            ...entry,
            name,
            context: {
              ...(entry as { context?: object } | undefined)?.context,
              cluster: name,
              user: name,
            },
          }
        : { ...entry, name }
    merged[list] = [...others, renamed]
  }
  merged['current-context'] = name
  return stringify(merged)
}

export function removeFromKubeconfig(theirs: string, name: string): string {
  const config = read(theirs)
  const rest: Record<string, unknown> = { ...config }
  for (const list of LISTS) rest[list] = (config[list] ?? []).filter((item) => item.name !== name)
  if (config['current-context'] === name) {
    const first = (rest['contexts'] as readonly Named[])[0]
    rest['current-context'] = first?.name ?? ''
  }
  return stringify(rest)
}

function read(text: string): Kubeconfig {
  const value = (text.trim() === '' ? {} : parse(text)) as Kubeconfig | null
  if (value !== null && (typeof value !== 'object' || Array.isArray(value)))
    throw new Error('not a kubeconfig: expected a map')
  return value ?? { apiVersion: 'v1', kind: 'Config' }
}

/** Rewrites a file atomically and keeps its mode; a file that is not a kubeconfig is left alone. */
export async function editKubeconfig(
  fs: FileSystem,
  path: string,
  edit: (text: string) => string,
): Promise<void> {
  const stat = await fs.stat(path)
  const text = stat === undefined ? '' : await fs.readText(path)
  let edited: string
  try {
    edited = edit(text)
  } catch (error) {
    throw new CommandError(
      `Cannot add to the kubeconfig ${path}: ${error instanceof Error ? error.message : String(error)}`,
      'Mend or move that file, or set KUBECONFIG to another one.',
    )
  }
  if (edited === text) return
  await fs.makeFolder(path.slice(0, path.lastIndexOf('/')) || '/')
  await fs.write(path, edited, { atomic: true, mode: stat === undefined ? 0o600 : stat.mode })
}
