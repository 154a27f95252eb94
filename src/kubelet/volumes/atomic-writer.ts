/**
 * Replaces the files of a volume in one step: they are written to a new folder, and one rename of
 * the symlink `..data` makes all of them visible at once. A reader sees the old files or the new.
 */
import { dirname, join } from 'node:path'
import type { Env } from '#base'
import type { Payload, PayloadFile } from './payload.ts'

const DATA = '..data'
const DATA_NEW = '..data_tmp'

/** True when something changed. */
export async function writeAtomically(
  target: string,
  payload: Payload,
  group: number | undefined,
  { fs, clock, random }: Pick<Env, 'fs' | 'clock' | 'random'>,
): Promise<boolean> {
  const old = await fs.readLink(join(target, DATA)).catch(() => undefined)
  if (old !== undefined && (await isSame(join(target, old), payload, fs))) return false

  const fresh = `..${stamp(clock.now())}.${Math.floor(random.next() * 1e10)}`
  const folder = join(target, fresh)
  const folders = new Set<string>([folder])
  await makeFolder(folder, group, fs)
  for (const [path, file] of payload) {
    for (const missing of parentsBelow(folder, join(folder, path))) {
      if (folders.has(missing)) continue
      folders.add(missing)
      await makeFolder(missing, group, fs)
    }
    await writeFile(join(folder, path), file, group, fs)
  }
  await fs.remove(join(target, DATA_NEW))
  await fs.symlink(fresh, join(target, DATA_NEW))
  await fs.rename(join(target, DATA_NEW), join(target, DATA))

  const visible = new Set([...payload.keys()].map((path) => path.split('/')[0] ?? path))
  const present = await fs.list(target)
  for (const name of visible) {
    if (!present.includes(name)) await fs.symlink(`${DATA}/${name}`, join(target, name))
  }
  for (const name of present) {
    if (!name.startsWith('..') && !visible.has(name)) await fs.remove(join(target, name))
    // Also what a crash left behind.
    else if (name.startsWith('..2') && name !== fresh) await fs.remove(join(target, name))
  }
  return true
}

const stamp = (now: Date): string =>
  now.toISOString().slice(0, 19).replace('T', '_').replaceAll(/[-:]/g, '_')

function parentsBelow(root: string, path: string): readonly string[] {
  const parents: string[] = []
  for (let parent = dirname(path); parent !== root; parent = dirname(parent)) {
    parents.unshift(parent)
  }
  return parents
}

const SET_GROUP_ID = 0o2000

async function makeFolder(path: string, group: number | undefined, fs: Env['fs']): Promise<void> {
  await fs.makeFolder(path, { mode: 0o755 })
  if (group !== undefined) await fs.chown(path, 0, group)
  // The umask does not decide who can read.
  await fs.chmod(path, group === undefined ? 0o755 : 0o755 | SET_GROUP_ID | 0o050)
}

async function writeFile(
  path: string,
  file: PayloadFile,
  group: number | undefined,
  fs: Env['fs'],
): Promise<void> {
  await fs.write(path, file.data, { mode: file.mode })
  if (group !== undefined || file.uid !== undefined) {
    await fs.chown(path, file.uid ?? 0, group ?? 0)
  }
  await fs.chmod(path, group === undefined ? file.mode : file.mode | 0o440)
}

async function isSame(folder: string, payload: Payload, fs: Env['fs']): Promise<boolean> {
  const paths = await allFiles(folder, '', fs).catch(() => undefined)
  if (paths === undefined || paths.length !== payload.size) return false
  for (const path of paths) {
    const file = payload.get(path)
    if (file === undefined) return false
    const found = await fs.read(join(folder, path))
    if (Buffer.compare(found, file.data) !== 0) return false
  }
  return true
}

async function allFiles(root: string, below: string, fs: Env['fs']): Promise<readonly string[]> {
  const found: string[] = []
  for (const name of await fs.list(join(root, below))) {
    const path = below === '' ? name : `${below}/${name}`
    const kind = (await fs.stat(join(root, path)))?.kind
    if (kind === 'folder') found.push(...(await allFiles(root, path, fs)))
    else found.push(path)
  }
  return found
}
