/** `/logs/`: the machine's log files as a stock kubelet shows them, `/var/log` with the logs of pods in `pods/`. */
import { basename, join, relative, resolve } from 'node:path'
import type { Env } from '#base'
import type { NodePage } from '#client'
import type { LogFiles } from '../runtime.ts'
import { moved, text } from './page.ts'

/** What can be shown: a folder's names, or a file's bytes. Undefined when there is nothing. */
export interface LogSource {
  /** By the path below the folder, its parts; links have been followed. */
  look(parts: readonly string[]): Promise<Found | undefined>
}
type Found =
  | { readonly kind: 'folder'; readonly names: readonly string[] }
  | { readonly kind: 'file'; readonly size: number; read(): Promise<Uint8Array> }

/** What is larger does not go through the API server either. */
const MAX_BYTES = 64 << 20
const MAX_LINKS = 40

export async function logPage(source: LogSource, path: string): Promise<NodePage | undefined> {
  // From the root on `..` leads nowhere.
  const clean = resolve('/', path.replace(/^\/logs(?=\/|$)/, '') || '/')
  const parts = clean.split('/').filter((part) => part !== '')
  const isFolderPath = path.endsWith('/') || clean === '/'
  if (parts.at(-1) === 'index.html' && !isFolderPath) return moved('./')
  const found = await source.look(parts)
  if (found === undefined) return undefined
  if (found.kind === 'folder') {
    if (!isFolderPath) return moved(`${encodeURIComponent(parts.at(-1) ?? '')}/`)
    const index = found.names.includes('index.html')
      ? await source.look([...parts, 'index.html'])
      : undefined
    return index?.kind === 'file'
      ? fileOf('index.html', index)
      : text(listing(found.names), 'text/html; charset=utf-8')
  }
  if (path.endsWith('/')) return moved(`../${encodeURIComponent(basename(clean))}`)
  return fileOf(basename(clean), found)
}

async function fileOf(name: string, file: Found & { readonly kind: 'file' }): Promise<NodePage> {
  if (file.size > MAX_BYTES)
    return text(`${name} is larger than ${MAX_BYTES} bytes\n`, undefined, 413)
  const body = await file.read()
  return { status: 200, contentType: typeOf(name, body), body }
}

function typeOf(name: string, body: Uint8Array): string {
  if (/\.html?$/i.test(name)) return 'text/html; charset=utf-8'
  if (/\.json$/i.test(name)) return 'application/json'
  if (body[0] === 0x1f && body[1] === 0x8b) return 'application/x-gzip'
  const isText = body
    .subarray(0, 512)
    .every((byte) => byte >= 0x20 || [9, 10, 12, 13, 27].includes(byte))
  return isText ? 'text/plain; charset=utf-8' : 'application/octet-stream'
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&#34;',
  "'": '&#39;',
}

/** Folders' names end in a slash. */
function listing(names: readonly string[]): string {
  const links = names
    .toSorted()
    .map(
      (name) =>
        `<a href="${encodeURI(name).replaceAll('?', '%3F').replaceAll('#', '%23')}">${name.replaceAll(/[&<>"']/g, (found) => ENTITIES[found] ?? found)}</a>\n`,
    )
  return `<!doctype html>\n<meta name="viewport" content="width=device-width">\n<pre>\n${links.join('')}</pre>\n`
}

/** Of a machine: links are followed while they stay below the folder or the pods' logs. */
export function machineLogs(
  { fs }: Pick<Env, 'fs'>,
  { folder, podLogs }: { readonly folder: string; readonly podLogs: string },
): LogSource {
  const roots = [folder, podLogs]
  const isInside = (path: string): boolean =>
    roots.some((root) => !/^\.\.(\/|$)/.test(relative(root, path)))
  const follow = async (path: string, links = 0): Promise<string | undefined> => {
    const root = roots.find((each) => !/^\.\.(\/|$)/.test(relative(each, path))) ?? folder
    let at = root
    const rest = relative(root, path)
      .split('/')
      .filter((part) => part !== '')
    while (rest.length > 0) {
      const next = resolve(at, rest.shift() ?? '')
      const stat = await fs.stat(next)
      if (stat === undefined) return undefined
      if (stat.kind !== 'symlink') {
        at = next
        continue
      }
      const target = resolve(at, await fs.readLink(next))
      if (links >= MAX_LINKS || !isInside(target)) return undefined
      return follow(join(target, ...rest), links + 1)
    }
    return at
  }
  return {
    async look(parts) {
      const [first, ...rest] = parts
      const wanted = first === 'pods' ? join(podLogs, ...rest) : join(folder, ...parts)
      const path = await follow(wanted).catch(() => undefined)
      const stat = path === undefined ? undefined : await fs.stat(path)
      if (path === undefined || stat === undefined) {
        if (parts.length === 0) return { kind: 'folder', names: ['pods/'] }
        return first === 'pods' && rest.length === 0 ? { kind: 'folder', names: [] } : undefined
      }
      if (stat.kind === 'file') return { kind: 'file', size: stat.size, read: () => fs.read(path) }
      if (stat.kind !== 'folder') return undefined
      const names = await Promise.all(
        (await fs.list(path)).map(async (name) =>
          (await fs.stat(join(path, name)))?.kind === 'folder' ? `${name}/` : name,
        ),
      )
      const isTop = parts.length === 0
      return { kind: 'folder', names: isTop ? [...new Set([...names, 'pods/'])] : names }
    },
  }
}

/** Of containers that are nowhere but in memory. */
export const memoryLogs = (files: LogFiles, podLogs: string): LogSource => ({
  async look([first, ...rest]) {
    if (first === undefined) return { kind: 'folder', names: ['pods/'] }
    if (first !== 'pods') return undefined
    const path = join(podLogs, ...rest)
    const stat = await files.stat(path)
    if (stat !== undefined)
      return { kind: 'file', size: stat.size, read: () => files.read(path, 0, stat.size) }
    const names = new Set(await files.list(path))
    if (names.size === 0 && rest.length > 0) return undefined
    const kinds = [...names].map(async (name) =>
      (await files.stat(join(path, name))) === undefined ? `${name}/` : name,
    )
    return { kind: 'folder', names: await Promise.all(kinds) }
  },
})
