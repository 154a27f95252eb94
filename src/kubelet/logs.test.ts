import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import type { LogOptions } from '#client'
import { type LogSource, containerLogs, logTail, rotateLog } from './logs.ts'
import type { LogFiles } from './runtime.ts'

/** Files in memory, with inodes that stay with the file when it is renamed. */
function memoryFiles() {
  const files = new Map<string, { inode: number; bytes: Buffer }>()
  const watchers = new Set<() => void>()
  let inodes = 0
  const changed = () => {
    for (const notify of watchers) notify()
  }
  const logFiles: LogFiles = {
    stat: async (path) => {
      const file = files.get(path)
      return file && { size: file.bytes.length, inode: file.inode }
    },
    read: async (path, offset, length) => {
      const file = files.get(path)
      if (file === undefined) throw new Error('absent')
      return file.bytes.subarray(offset, offset + length)
    },
    list: async (folder) =>
      [...files.keys()]
        .filter((path) => path.startsWith(`${folder}/`))
        .map((path) => path.slice(folder.length + 1)),
    rename: async (from, to) => {
      const file = files.get(from)
      if (file === undefined) throw new Error('absent')
      files.delete(from)
      files.set(to, file)
      changed()
    },
    remove: async (path) => void files.delete(path),
    makeFolder: async () => {},
    watch: (_path, onChange, signal) => {
      watchers.add(onChange)
      signal.addEventListener('abort', () => watchers.delete(onChange))
    },
  }
  const append = (path: string, text: string) => {
    const file = files.get(path) ?? { inode: ++inodes, bytes: Buffer.alloc(0) }
    file.bytes = Buffer.concat([file.bytes, Buffer.from(text)])
    files.set(path, file)
    changed()
  }
  return { logFiles, append, files }
}

const PATH = '/logs/app/0.log'
const line = (text: string, { second = 0, stream = 'stdout', tag = 'F' } = {}) =>
  `2026-01-01T00:00:${String(second).padStart(2, '0')}.123456789Z ${stream} ${tag} ${text}\n`

const ended: LogSource = { isRunning: () => false, ended: async () => {} }

async function read(
  files: LogFiles,
  options: Partial<LogOptions> = {},
  source = ended,
): Promise<string> {
  const chunks: Uint8Array[] = []
  const env = virtualEnv()
  const all = containerLogs(
    files,
    PATH,
    { container: 'app', ...options },
    source,
    env,
    new AbortController().signal,
  )
  for await (const chunk of all) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

test('the last lines are so many, even when more are written while they are read', async () => {
  const { logFiles, append } = memoryFiles()
  append(PATH, line('one') + line('two'))
  const growing: LogFiles = {
    ...logFiles,
    read: async (path, offset, length) => {
      const bytes = await logFiles.read(path, offset, length)
      append(PATH, line('more'))
      return bytes
    },
  }
  assert.equal(await read(growing, { tailLines: 1 }), 'two\n')
  assert.equal(await read(growing, { tailLines: 0 }), '')
})

test('lines come without what the runtime puts before them', async () => {
  const { logFiles, append } = memoryFiles()
  append(PATH, line('one') + line('two', { stream: 'stderr' }))
  assert.equal(await read(logFiles), 'one\ntwo\n')
  assert.equal(await read(logFiles, { stream: 'Stderr' }), 'two\n')
})

test('partial entries are one line, with one time', async () => {
  const { logFiles, append } = memoryFiles()
  append(PATH, line('hel', { tag: 'P' }) + line('lo') + line('next'))
  assert.equal(await read(logFiles), 'hello\nnext\n')
  const stamp = '2026-01-01T00:00:00.123456789Z'
  assert.equal(await read(logFiles, { timestamps: true }), `${stamp} hello\n${stamp} next\n`)
})

test('a log that is not there yet is empty', async () => {
  assert.equal(await read(memoryFiles().logFiles), '')
})

for (const [tailLines, text] of [
  [0, ''],
  [1, 'c\n'],
  [2, 'b\nc\n'],
  [9, 'a\nb\nc\n'],
] as const) {
  test(`the last ${tailLines} of three lines`, async () => {
    const { logFiles, append } = memoryFiles()
    append(PATH, line('a') + line('b') + line('c'))
    assert.equal(await read(logFiles, { tailLines }), text)
  })
}

test('a tail reaches back into rotated files', async () => {
  const { logFiles, append } = memoryFiles()
  append(`${PATH}.20260101`, line('a') + line('b'))
  append(PATH, line('c'))
  assert.equal(await read(logFiles, { tailLines: 2 }), 'b\nc\n')
  assert.equal(await read(logFiles), 'a\nb\nc\n')
})

test('limits and times cut the log', async () => {
  const { logFiles, append } = memoryFiles()
  append(PATH, line('old', { second: 1 }) + line('new', { second: 30 }))
  assert.equal(await read(logFiles, { sinceTime: '2026-01-01T00:00:10Z' }), 'new\n')
  assert.equal(await read(logFiles, { limitBytes: 5 }), 'old\nn')
})

test('a long log is read whole, across pieces', async () => {
  const { logFiles, append } = memoryFiles()
  const lines = Array.from(
    { length: 5000 },
    (_, index) => `line ${index} ${'x'.repeat(index % 90)}`,
  )
  append(PATH, lines.map((text) => line(text)).join(''))
  assert.equal(await read(logFiles), `${lines.join('\n')}\n`)
  assert.equal(await read(logFiles, { tailLines: 3000 }), `${lines.slice(2000).join('\n')}\n`)
})

test('a single entry may be longer than any piece', async () => {
  const { logFiles, append } = memoryFiles()
  const text = 'y'.repeat(300_000)
  append(PATH, line(text))
  assert.equal(await read(logFiles), `${text}\n`)
})

test('a follower sees what is written later, also across a rotation, and ends with the container', async () => {
  const { logFiles, append } = memoryFiles()
  const { promise: end, resolve } = Promise.withResolvers<void>()
  let running = true
  append(PATH, line('a'))
  const text = read(logFiles, { follow: true }, { isRunning: () => running, ended: () => end })
  const pause = () => new Promise((done) => setImmediate(done))
  await pause()
  append(PATH, line('b'))
  await logFiles.rename(PATH, `${PATH}.1`)
  append(PATH, line('c'))
  await pause()
  append(PATH, line('d'))
  running = false
  resolve()
  assert.equal(await text, 'a\nb\nc\nd\n')
})

test('a log that grew too long is rotated, and the oldest file goes', async () => {
  const { logFiles, append, files } = memoryFiles()
  const env = virtualEnv()
  const runtime = {
    logFiles,
    reopenContainerLog: async () => append(PATH, ''),
  }
  assert.equal(await rotateLog(runtime, 'id', PATH, env), false)
  for (let round = 0; round < 8; round++) {
    append(PATH, 'x'.repeat(11 * 1024 * 1024))
    assert.equal(await rotateLog(runtime, 'id', PATH, env), true)
    await env.advance(1000)
  }
  assert.equal(files.size, 5)
  assert.equal(files.get(PATH)?.bytes.length, 0)
})

test('last words are the end of the log', async () => {
  const { logFiles, append } = memoryFiles()
  append(PATH, Array.from({ length: 100 }, (_, index) => line(`l${index}`)).join(''))
  const tail = await logTail(logFiles, PATH)
  assert.equal(tail.split('\n').length, 81)
  assert.ok(tail.startsWith('l20\n'))
})
