/** A file system in memory. */
import type { Clock, FileStat, FileSystem } from './env.ts'

interface Node {
  kind: 'file' | 'folder' | 'symlink'
  data: Uint8Array
  mode: number
  uid: number
  gid: number
  modified: Date
  inode: number
}

/** An error as the system tells of it, by its code: `ENOENT`. */
export const failure = (code: string, path: string): Error =>
  Object.assign(new Error(`${code}: ${path}`), { code })
const bytesOf = (data: Uint8Array | string): Uint8Array =>
  typeof data === 'string' ? new TextEncoder().encode(data) : data.slice()

export function memoryFileSystem(clock: Clock): FileSystem {
  const nodes = new Map<string, Node>()
  const watchers = new Map<string, Set<() => void>>()
  let inode = 1
  const clean = (path: string): string =>
    `/${path
      .split('/')
      .filter((part) => part !== '' && part !== '.')
      .join('/')}`
  const parent = (path: string): string => path.slice(0, Math.max(1, path.lastIndexOf('/')))
  const make = (kind: Node['kind'], data: Uint8Array, mode: number): Node => ({
    kind,
    data,
    mode,
    uid: 0,
    gid: 0,
    modified: clock.now(),
    inode: inode++,
  })
  nodes.set('/', make('folder', new Uint8Array(), 0o755))
  const follow = (path: string): string => {
    let at = clean(path)
    for (let hop = 0; hop < 8; hop++) {
      const node = nodes.get(at)
      if (node?.kind !== 'symlink') return at
      const target = new TextDecoder().decode(node.data)
      at = target.startsWith('/') ? clean(target) : clean(`${parent(at)}/${target}`)
    }
    throw failure('ELOOP', path)
  }
  const tell = (path: string): void => {
    for (const key of [path, parent(path)])
      for (const run of watchers.get(key) ?? []) queueMicrotask(run)
  }
  const must = (path: string): Node => {
    const node = nodes.get(path)
    if (node === undefined) throw failure('ENOENT', path)
    return node
  }
  const put = (path: string, node: Node): void => {
    if (nodes.get(parent(path))?.kind !== 'folder') throw failure('ENOENT', path)
    nodes.set(path, node)
    tell(path)
  }
  const below = (path: string): string[] =>
    [...nodes.keys()].filter((key) => key === path || key.startsWith(`${path}/`))
  return {
    read: async (path) => must(follow(path)).data.slice(),
    readText: async (path) => new TextDecoder().decode(must(follow(path)).data),
    write: async (path, data, { mode = 0o600 } = {}) =>
      put(follow(path), make('file', bytesOf(data), mode)),
    async append(path, data) {
      const at = follow(path)
      const old = nodes.get(at)
      const more = bytesOf(data)
      const joined = new Uint8Array((old?.data.length ?? 0) + more.length)
      joined.set(old?.data ?? new Uint8Array())
      joined.set(more, old?.data.length ?? 0)
      put(at, make('file', joined, old?.mode ?? 0o600))
    },
    async makeFolder(path, { mode = 0o700 } = {}) {
      let at = ''
      for (const part of clean(path).split('/').filter(Boolean)) {
        at = follow(`${at}/${part}`)
        if (!nodes.has(at)) put(at, make('folder', new Uint8Array(), mode))
      }
    },
    async list(path) {
      const at = follow(path)
      if (must(at).kind !== 'folder') throw failure('ENOTDIR', path)
      const prefix = at === '/' ? '/' : `${at}/`
      return [...nodes.keys()]
        .filter(
          (key) => key !== '/' && key.startsWith(prefix) && !key.slice(prefix.length).includes('/'),
        )
        .map((key) => key.slice(prefix.length))
        .toSorted()
    },
    async stat(path): Promise<FileStat | undefined> {
      const node = nodes.get(clean(path))
      if (node === undefined) return undefined
      const { kind, mode, uid, gid, modified } = node
      return { kind, size: node.data.length, mode, uid, gid, modified, inode: node.inode }
    },
    async remove(path) {
      for (const key of below(clean(path))) nodes.delete(key)
      tell(clean(path))
    },
    async rename(from, to) {
      const [source, target] = [clean(from), clean(to)]
      must(source)
      for (const key of below(target)) nodes.delete(key)
      for (const key of below(source)) {
        nodes.set(target + key.slice(source.length), must(key))
        nodes.delete(key)
      }
      tell(source)
      tell(target)
    },
    symlink: async (target, path) => put(clean(path), make('symlink', bytesOf(target), 0o777)),
    readLink: async (path) => new TextDecoder().decode(must(clean(path)).data),
    chmod: async (path, mode) => void (must(follow(path)).mode = mode),
    chown: async (path, uid, gid) => void Object.assign(must(follow(path)), { uid, gid }),
    watch(path, onChange, signal) {
      const key = clean(path)
      const set = watchers.get(key) ?? new Set()
      watchers.set(key, set.add(onChange))
      signal.addEventListener('abort', () => set.delete(onChange), { once: true })
    },
    usage: async () => ({
      totalBytes: 2 ** 40,
      freeBytes: 2 ** 39,
      inodes: 2 ** 26,
      freeInodes: 2 ** 25,
    }),
  }
}
