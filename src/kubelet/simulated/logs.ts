/** Logs of simulated containers. */
import type { LogFiles } from '../runtime.ts'

/** Log files that nobody wrote to a disk. */
export class MemoryLogs implements LogFiles {
  readonly #files = new Map<string, Buffer>()
  readonly #watchers = new Map<string, Set<() => void>>()

  append(path: string, text: string): void {
    const before = this.#files.get(path)
    const size = before?.length ?? 0
    // Of its own: one cut out of Node's pool would keep 64 KiB for a line or two.
    const after = Buffer.alloc(size + Buffer.byteLength(text))
    if (before !== undefined) after.set(before)
    after.write(text, size)
    this.#files.set(path, after)
    for (const notify of this.#watchers.get(path) ?? []) notify()
  }

  async stat(path: string) {
    const file = this.#files.get(path)
    return file === undefined ? undefined : { size: file.length, inode: 1 }
  }
  async read(path: string, offset: number, length: number) {
    return (this.#files.get(path) ?? Buffer.alloc(0)).subarray(offset, offset + length)
  }
  async list(folder: string) {
    return [...this.#files.keys()]
      .filter((path) => path.startsWith(`${folder}/`))
      .map((path) => path.slice(folder.length + 1).split('/')[0] ?? '')
  }
  async rename(from: string, to: string) {
    const file = this.#files.get(from)
    if (file === undefined) return
    this.#files.delete(from)
    this.#files.set(to, file)
  }
  async remove(path: string) {
    for (const key of this.#files.keys()) {
      if (key === path || key.startsWith(`${path}/`)) this.#files.delete(key)
    }
  }
  async makeFolder() {}
  watch(path: string, onChange: () => void, signal: AbortSignal) {
    const watchers = this.#watchers.get(path) ?? new Set()
    this.#watchers.set(path, watchers)
    watchers.add(onChange)
    signal.addEventListener(
      'abort',
      () => {
        watchers.delete(onChange)
        if (watchers.size === 0) this.#watchers.delete(path)
      },
      { once: true },
    )
  }
}
