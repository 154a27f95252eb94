/** Log files on this machine's disk, read a piece at a time. */
import { watch } from 'node:fs'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import type { LogFiles } from '../runtime.ts'

const isAbsent = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ENOENT'

/** Log files as the runtime writes them. */
export const diskLogFiles: LogFiles = {
  async stat(path) {
    try {
      const { size, ino } = await stat(path)
      return { size, inode: ino }
    } catch (error) {
      if (isAbsent(error)) return undefined
      throw error
    }
  },
  async read(path, offset, length) {
    const file = await open(path, 'r')
    try {
      const buffer = Buffer.allocUnsafe(length)
      let filled = 0
      while (filled < length) {
        const { bytesRead } = await file.read(buffer, filled, length - filled, offset + filled)
        if (bytesRead === 0) break
        filled += bytesRead
      }
      return buffer.subarray(0, filled)
    } finally {
      await file.close()
    }
  },
  async list(folder) {
    try {
      return await readdir(folder)
    } catch (error) {
      if (isAbsent(error)) return []
      throw error
    }
  },
  rename,
  remove: (path) => rm(path, { recursive: true, force: true }),
  async makeFolder(path) {
    await mkdir(path, { recursive: true, mode: 0o755 })
  },
  watch(path, onChange, signal) {
    if (signal.aborted) return
    // The folder is watched, so that a rotated file's successor is seen too.
    const watcher = watch(dirname(path), { persistent: false }, (_type, name) => {
      if (name === null || name === basename(path)) onChange()
    })
    watcher.on('error', () => watcher.close())
    signal.addEventListener('abort', () => watcher.close(), { once: true })
  },
}
