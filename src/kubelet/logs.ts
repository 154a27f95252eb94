/** Container logs: files that the runtime writes in CRI's format, read, followed and rotated here. */
import { basename, dirname, join } from 'node:path'
import type { Env } from '#base'
import type { LogOptions } from '#client'
import type { LogFiles, Runtime } from './runtime.ts'

export interface LogLine {
  /** As it was written: RFC 3339 with nanoseconds. */
  readonly time: string
  readonly stream: 'stdout' | 'stderr'
  /** The rest of the line comes with the next entry. */
  readonly partial: boolean
  readonly content: Buffer
}

/** `2026-01-02T03:04:05.678901234Z stdout F text`; undefined for anything else. */
function parseLine(line: Buffer): LogLine | undefined {
  const first = line.indexOf(0x20)
  const second = line.indexOf(0x20, first + 1)
  if (first < 0 || second < 0) return undefined
  const third = line.indexOf(0x20, second + 1)
  const stream = line.toString('latin1', first + 1, second)
  if (stream !== 'stdout' && stream !== 'stderr') return undefined
  const tags = line.toString('latin1', second + 1, third < 0 ? line.length : third)
  return {
    time: line.toString('latin1', 0, first),
    stream,
    partial: tags.split(':')[0] === 'P',
    content: third < 0 ? Buffer.alloc(0) : line.subarray(third + 1),
  }
}

/** Which entries are shown, and how: pure, so that it is the same for a file and for a stream. */
class LogFormat {
  readonly #options: LogOptions
  readonly #sinceMs: number | undefined
  #left: number
  /** Entries still to be told: what comes after the last lines, while they are read, is not among them. */
  #entries: number
  #atLineStart = true

  constructor(options: LogOptions, now: Date) {
    this.#options = options
    this.#sinceMs =
      options.sinceTime === undefined
        ? options.sinceSeconds === undefined
          ? undefined
          : now.getTime() - options.sinceSeconds * 1000
        : Date.parse(options.sinceTime)
    this.#left = options.limitBytes ?? Number.POSITIVE_INFINITY
    const lines = options.follow === true ? undefined : options.tailLines
    this.#entries = lines ?? Number.POSITIVE_INFINITY
  }

  get isFull(): boolean {
    return this.#left <= 0 || this.#entries <= 0
  }

  /** What the entry adds to the output; undefined for nothing. */
  add(line: Buffer): Buffer | undefined {
    const entry = parseLine(line)
    if (entry === undefined || this.isFull) return undefined
    this.#entries--
    const { stream = 'All' } = this.#options
    if (stream !== 'All' && stream.toLowerCase() !== entry.stream) return undefined
    if (this.#sinceMs !== undefined && Date.parse(entry.time) < this.#sinceMs) return undefined
    const parts: Buffer[] = []
    if (this.#options.timestamps === true && this.#atLineStart) {
      parts.push(Buffer.from(`${entry.time} `))
    }
    parts.push(entry.content)
    if (!entry.partial) parts.push(NEWLINE)
    this.#atLineStart = !entry.partial
    const bytes = Buffer.concat(parts)
    const shown = bytes.length > this.#left ? bytes.subarray(0, this.#left) : bytes
    this.#left -= shown.length
    return shown
  }
}

const NEWLINE = Buffer.from('\n')
const CHUNK_BYTES = 64 * 1024

/** Whether the container still writes. */
export interface LogSource {
  isRunning(): boolean
  /** Resolves when it has ended, or the signal aborts. */
  ended(signal: AbortSignal): Promise<void>
}

/** What the container wrote, oldest first, across rotated files; with `follow` until it ends. */
export async function* containerLogs(
  files: LogFiles,
  path: string,
  options: LogOptions,
  source: LogSource,
  { clock }: Pick<Env, 'clock'>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const format = new LogFormat(options, clock.now())
  const follow = options.follow === true
  const changes = new Changes()
  const over = new AbortController()
  if (follow) {
    const stop = AbortSignal.any([signal, over.signal])
    files.watch(path, () => changes.signal(), stop)
    void source.ended(stop).then(() => changes.signal())
    stop.addEventListener('abort', () => changes.signal(), { once: true })
  }
  try {
    let position = await startOf(files, path, options.tailLines)
    for (;;) {
      // Asked before reading: what it wrote last is then certainly read.
      const running = follow && source.isRunning()
      for (;;) {
        const chunk = await readEntries(files, position, format)
        position = chunk.next
        if (chunk.bytes.length > 0) yield chunk.bytes
        if (signal.aborted || format.isFull) return
        if (chunk.atEnd) break
      }
      const next = await successor(files, path, position)
      if (next !== undefined) {
        position = next
        continue
      }
      if (!running || signal.aborted) return
      await changes.wait()
      if (signal.aborted) return
    }
  } finally {
    over.abort()
  }
}

/** A place in one of the files. */
interface Position {
  readonly path: string
  readonly inode: number
  readonly offset: number
}

async function readEntries(
  files: LogFiles,
  position: Position,
  format: LogFormat,
): Promise<{ readonly bytes: Buffer; readonly next: Position; readonly atEnd: boolean }> {
  let size = CHUNK_BYTES
  for (;;) {
    const chunk = Buffer.from(await readOrNothing(files, position, size))
    const end = chunk.lastIndexOf(0x0a)
    if (end < 0 && chunk.length === size) {
      // A single entry longer than the chunk.
      size *= 2
      continue
    }
    const shown: Buffer[] = []
    let at = 0
    while (at <= end && !format.isFull) {
      const stop = chunk.indexOf(0x0a, at)
      const text = format.add(chunk.subarray(at, stop))
      if (text !== undefined) shown.push(text)
      at = stop + 1
    }
    return {
      bytes: Buffer.concat(shown),
      next: { ...position, offset: position.offset + end + 1 },
      atEnd: chunk.length < size,
    }
  }
}

async function readOrNothing(
  files: LogFiles,
  position: Position,
  length: number,
): Promise<Uint8Array> {
  try {
    return await files.read(position.path, position.offset, length)
  } catch {
    return new Uint8Array()
  }
}

/** The file itself and those it was rotated to, oldest first. */
async function generations(files: LogFiles, path: string): Promise<readonly string[]> {
  const folder = dirname(path)
  const name = basename(path)
  const rotated = (await files.list(folder))
    .filter((other) => other.startsWith(`${name}.`) && !other.endsWith('.tmp'))
    .toSorted()
  return [...rotated.map((other) => join(folder, other)), path]
}

/** Where to go on when the file was rotated under the reader. */
async function successor(
  files: LogFiles,
  path: string,
  position: Position,
): Promise<Position | undefined> {
  const current = await files.stat(path)
  if (current === undefined) return undefined
  if (position.path === path && (current.inode === position.inode || position.inode === 0)) {
    if (position.inode === 0) return { path, inode: current.inode, offset: 0 }
    return current.size < position.offset ? { ...position, offset: 0 } : undefined
  }
  const all = await generations(files, path)
  for (const [index, generation] of all.entries()) {
    const stat = await files.stat(generation)
    if (stat?.inode !== position.inode) continue
    // The rest of the renamed file first.
    if (stat.size > position.offset) return { ...position, path: generation }
    const newer = all[index + 1]
    const newerStat = newer === undefined ? undefined : await files.stat(newer)
    if (newer === undefined || newerStat === undefined) return undefined
    return { path: newer, inode: newerStat.inode, offset: 0 }
  }
  return { path, inode: current.inode, offset: 0 }
}

async function startOf(
  files: LogFiles,
  path: string,
  tailLines: number | undefined,
): Promise<Position> {
  const all = await generations(files, path)
  let wanted = tailLines ?? Number.POSITIVE_INFINITY
  let oldest: Position = { path, inode: 0, offset: 0 }
  for (const generation of all.toReversed()) {
    const stat = await files.stat(generation)
    if (stat === undefined) continue
    const { offset, found } = await offsetOfTail(files, generation, stat.size, wanted)
    oldest = { path: generation, inode: stat.inode, offset }
    if (found >= wanted) break
    wanted -= found
  }
  return oldest
}

/** Where the last `lines` begin, counted backwards from the end. */
async function offsetOfTail(
  files: LogFiles,
  path: string,
  size: number,
  lines: number,
): Promise<{ readonly offset: number; readonly found: number }> {
  if (lines === Number.POSITIVE_INFINITY) return { offset: 0, found: 0 }
  if (lines <= 0) return { offset: size, found: 0 }
  let found = 0
  for (let end = size; end > 0;) {
    const start = Math.max(0, end - CHUNK_BYTES)
    const chunk = await files.read(path, start, end - start)
    for (let at = chunk.length - 1; at >= 0; at--) {
      if (chunk[at] !== 0x0a) continue
      // The newline that ends the file belongs to the last line.
      if (start + at === size - 1) continue
      found++
      if (found === lines) return { offset: start + at + 1, found }
    }
    end = start
  }
  return { offset: 0, found: size > 0 ? found + 1 : 0 }
}

/** Remembers that something happened, so that nothing is missed between two waits. */
class Changes {
  #pending = false
  #wake: (() => void) | undefined

  signal(): void {
    this.#pending = true
    this.#wake?.()
  }

  async wait(): Promise<void> {
    if (!this.#pending) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    this.#pending = false
    this.#wake = undefined
  }
}

export const MAX_LOG_BYTES = 10 * 1024 * 1024
const MAX_LOG_FILES = 5

/** Starts a new file when the present one is too long, and drops the oldest. True when it did. */
export async function rotateLog(
  runtime: Pick<Runtime, 'logFiles' | 'reopenContainerLog'>,
  containerId: string,
  path: string,
  { clock }: Pick<Env, 'clock'>,
): Promise<boolean> {
  const files = runtime.logFiles
  const stat = await files.stat(path)
  if (stat === undefined || stat.size < MAX_LOG_BYTES) return false
  const rotated = (await generations(files, path)).slice(0, -1)
  // The present file becomes one of them, and a new one begins.
  for (const old of rotated.slice(0, Math.max(0, rotated.length - (MAX_LOG_FILES - 2)))) {
    await files.remove(old)
  }
  const target = `${path}.${clock.now().toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-')}`
  await files.rename(path, target)
  try {
    await runtime.reopenContainerLog(containerId)
  } catch (error) {
    // It goes on writing to the renamed file: take its name back.
    await files.rename(target, path)
    throw error
  }
  return true
}

const TERMINATION_TAIL_LINES = 80
const TERMINATION_TAIL_BYTES = 2048

/** The end of a log, as a termination message falls back to it. */
export async function logTail(files: LogFiles, path: string): Promise<string> {
  const position = await startOf(files, path, TERMINATION_TAIL_LINES)
  const format = new LogFormat({ container: '' }, new Date(0))
  let text = ''
  for (let at = position; ;) {
    const { bytes, next, atEnd } = await readEntries(files, at, format)
    text += bytes.toString()
    at = next
    if (atEnd) break
  }
  const bytes = Buffer.from(text)
  return bytes.length <= TERMINATION_TAIL_BYTES
    ? text
    : bytes.subarray(bytes.length - TERMINATION_TAIL_BYTES).toString()
}
