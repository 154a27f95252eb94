import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { realEnv, silentLogger, virtualEnv } from '#base'
import { bytes, create, storageContract, textOf } from '../contract.ts'
import { StorageFullError, StorageOpenError } from '../errors.ts'
import { CompactedError, type Origin } from '../storage.ts'
import { openFile, type StoreFile } from './file.ts'
import { openSqliteStorage, type SqliteStorage, type SqliteStorageOptions } from './sqlite.ts'

const { clock } = realEnv()
const log = silentLogger
const origin: Origin = { actor: 'tester', cause: 'request 7', time: 1000 }
const beat: Origin = { actor: 'kubelet', time: 1000, volatile: true }

function temporary(): { path: string; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'navarch-store-'))
  return {
    path: join(folder, 'store.db'),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

storageContract('sqlite', async () => {
  const { path, remove } = temporary()
  let storage = openSqliteStorage({ path, clock, log })
  return {
    storage,
    reopen: async () => {
      await storage.close()
      storage = openSqliteStorage({ path, clock, log })
      return storage
    },
    dispose: async () => {
      await storage.close()
      remove()
    },
  }
})

storageContract('sqlite that folds all the time', async () => {
  const { path, remove } = temporary()
  let storage = openSqliteStorage({ path, clock, log, historyBytes: 0 })
  return {
    storage,
    reopen: async () => {
      await storage.close()
      storage = openSqliteStorage({ path, clock, log, historyBytes: 0 })
      return storage
    },
    dispose: async () => {
      await storage.close()
      remove()
    },
  }
})

function withStore(
  title: string,
  run: (
    open: (options?: Partial<SqliteStorageOptions>) => SqliteStorage,
    path: string,
  ) => Promise<void>,
): void {
  test(title, async () => {
    const { path, remove } = temporary()
    const opened: SqliteStorage[] = []
    try {
      await run((options) => {
        const storage = openSqliteStorage({ path, clock, log, ...options })
        opened.push(storage)
        return storage
      }, path)
    } finally {
      for (const storage of opened) await storage.close()
      remove()
    }
  })
}

const failure = (expected: string, words: RegExp) => (error: unknown) =>
  error instanceof StorageOpenError && error.failure === expected && words.test(error.message)

/** A store whose disk takes a batch when the test says so. */
async function withSlowDisk(
  run: (
    storage: SqliteStorage,
    disk: { readonly waiting: () => number; take(error?: Error): Promise<void> },
  ) => Promise<void>,
): Promise<void> {
  const { path, remove } = temporary()
  const turns: PromiseWithResolvers<void>[] = []
  const open = (...given: Parameters<typeof openFile>): StoreFile => {
    const file = openFile(...given)
    const sync = async (): Promise<void> => {
      const turn = Promise.withResolvers<void>()
      turns.push(turn)
      await turn.promise
      await file.sync()
    }
    return { ...file, sync }
  }
  const storage = openSqliteStorage({ path, clock, log }, open)
  const asked = async (): Promise<PromiseWithResolvers<void>> => {
    while (turns.length === 0) await new Promise((resolve) => setImmediate(resolve))
    return turns.shift()!
  }
  try {
    await run(storage, {
      waiting: () => turns.length,
      take: async (error) => {
        const turn = await asked()
        if (error === undefined) turn.resolve()
        else turn.reject(error)
      },
    })
  } finally {
    await storage.close()
    remove()
  }
}

test('while the disk takes a batch others are read and written; what it has not taken nobody sees', () =>
  withSlowDisk(async (storage, disk) => {
    const first = create(storage, '/a', '1')
    while (disk.waiting() === 0) await new Promise((resolve) => setImmediate(resolve))
    assert.equal((await storage.get('/a')).value, undefined)
    // Later writes, heartbeats among them, wait for their turn and come after it.
    const beaten = storage.create('/beat', bytes('x'), beat)
    const second = storage.create('/a', bytes('2'), origin)
    await disk.take()
    assert.equal(await first, 2)
    const after = await beaten
    assert.ok(after.ok)
    assert.equal(after.revision, 3)
    assert.equal((await second).ok, false)
  }))

test('a disk that fails is not written to again, and is still read', () =>
  withSlowDisk(async (storage, disk) => {
    const first = create(storage, '/a', '1')
    await disk.take()
    await first
    const lost = storage.create('/b', bytes('2'), origin)
    const cause = new Error('EIO: i/o error, fdatasync')
    await disk.take(cause)
    await assert.rejects(
      lost,
      (error: Error) => /disk failed/.test(error.message) && error.cause === cause,
    )
    assert.equal((await storage.get('/b')).value, undefined)
    await assert.rejects(storage.create('/c', bytes('3'), origin), /disk failed/)
    const { value } = await storage.get('/a')
    assert.equal(textOf(value!.value), '1')
  }))

withStore('a second opening is refused while the first lasts', async (open) => {
  const first = open()
  assert.throws(() => open(), failure('locked', /another process has it open/))
  await first.close()
  open()
})

withStore('a file of another version is refused and left alone', async (open, path) => {
  await open().close()
  const db = new DatabaseSync(path)
  db.exec(`UPDATE meta SET value = '99' WHERE key = 'layout'`)
  db.close()
  const before = readFileSync(path)
  assert.throws(
    () => open(),
    failure('version', /layout is version 99, and this program knows version 2/),
  )
  assert.deepEqual(readFileSync(path), before)
})

withStore('a database of another program is refused', async (open, path) => {
  const db = new DatabaseSync(path)
  db.exec('CREATE TABLE songs (name TEXT)')
  db.close()
  assert.throws(() => open(), failure('version', /another program/))
})

withStore('a file that is no database is refused as damaged', async (open, path) => {
  writeFileSync(path, 'this is not a database, and it is long enough to be seen as none'.repeat(40))
  assert.throws(() => open(), failure('damaged', /Restore it from a backup/))
})

withStore('one flipped byte in a value is noticed', async (open, path) => {
  const storage = open()
  await create(storage, '/a', 'needle-in-the-file')
  await storage.close()
  const content = readFileSync(path)
  const at = content.indexOf('needle-in-the-file')
  assert.ok(at > 0)
  content[at] = 0x4e
  writeFileSync(path, content)
  assert.throws(() => open(), failure('damaged', /row 1 of the log/))
})

withStore('a folder that is not there is named', async (open, path) => {
  assert.throws(() => open({ path: `${path}/x/y.db` }), failure('unavailable', /folder exists/))
})

test('a file that may not be written is refused', { skip: process.getuid?.() === 0 }, () => {
  const { path, remove } = temporary()
  writeFileSync(path, '')
  chmodSync(path, 0o400)
  assert.throws(
    () => openSqliteStorage({ path, clock, log }),
    failure('permission', /may not be written/),
  )
  remove()
})

withStore('the file is for its owner only', async (open, path) => {
  await create(open(), '/secret', 'x')
  assert.equal(statSync(path).mode & 0o777, 0o600)
  assert.equal(statSync(`${path}-wal`).mode & 0o777, 0o600)
})

withStore('a full disk fails writes, and only until there is room', async (open, path) => {
  const small = open({ maxBytes: 200_000 })
  // The same letter ten thousand times would be a few bytes on the disk.
  const value = randomBytes(5000).toString('hex')
  let written = 0
  await assert.rejects(async () => {
    for (; ; written++) await create(small, `/${written}`, value)
  }, StorageFullError)
  assert.ok(written > 3)
  const { current } = small.revisions()
  const failed = await Promise.allSettled([
    create(small, '/x', value),
    small.create('/0', bytes(value), origin),
  ])
  for (const { status } of failed) assert.equal(status, 'rejected')
  // Nothing of it is half done, and reading and heartbeats go on.
  assert.equal(small.revisions().current, current)
  assert.equal((await small.list({ prefix: '/' })).value.length, written)
  assert.ok((await small.create('/lease', bytes('1'), beat)).ok)
  await small.close()
  const roomy = open()
  assert.equal((await roomy.list({ prefix: '/' })).value.length, written + 1)
  await create(roomy, '/x', value)
  assert.ok(statSync(path).size > 0)
})

withStore('kill -9 loses nothing that was acknowledged', async (open, path) => {
  const fixture = fileURLToPath(new URL('writer.fixture.ts', import.meta.url))
  const acknowledged = new Map<string, number>()
  let newest = 0
  for (let round = 0; round < 3; round++) {
    const writer = spawn(process.execPath, [fixture, path, `round-${round}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    for await (const chunk of writer.stdout) {
      output += String(chunk)
      if (output.length > 20_000 * (round + 1)) writer.kill('SIGKILL')
    }
    if (writer.exitCode === null && writer.signalCode === null) await once(writer, 'exit')
    const lines = output.split('\n').slice(0, -1)
    assert.ok(lines.length > 100)
    const storage = open()
    for (const line of lines) {
      const [key = '', revision] = line.split(' ')
      assert.ok(Number(revision) > newest, 'a revision was used twice')
      acknowledged.set(key, Number(revision))
    }
    newest = storage.revisions().current
    for (const [key, revision] of acknowledged) {
      const { value } = await storage.get(key)
      assert.equal(value?.modified, revision, key)
      assert.equal(value.value.byteLength, 1500)
    }
    await storage.close()
  }
})

/** The store as a crash leaves it: its files copied while it is open. */
function crash(path: string): string {
  const copy = `${path}.crashed`
  writeFileSync(copy, readFileSync(path))
  writeFileSync(`${copy}-wal`, readFileSync(`${path}-wal`))
  return copy
}

withStore('after a crash no revision of a lost heartbeat is used again', async (open, path) => {
  const storage = open()
  await create(storage, '/pod', 'x')
  const lease = await storage.create('/lease', bytes('1'), beat)
  const after = open({ path: crash(path) })
  assert.equal((await after.get('/lease')).value, undefined)
  assert.equal(textOf((await after.get('/pod')).value?.value), 'x')
  assert.ok((await create(after, '/pod2', 'x')) > lease.revision)
  // And who watched from it is told to list again.
  await assert.rejects(async () => {
    for await (const _ of after.watch({ prefix: '/' }, lease.revision, AbortSignal.timeout(1000)));
  }, CompactedError)
})

/** Everything that reached the disk: any write changes it. */
const onDisk = (path: string) => ({
  main: readFileSync(path).toString('latin1'),
  wal: readFileSync(`${path}-wal`).toString('latin1'),
})

test('heartbeats write nothing; objects that came are saved within a minute', async () => {
  const { path, remove } = temporary()
  const env = virtualEnv()
  const storage = openSqliteStorage({ path, clock: env.clock, log })
  let { revision } = await storage.create('/lease', bytes('0'), beat)
  await env.advance(60_000)
  await turn()
  const created = onDisk(path)
  assert.ok(created.wal.includes('/lease'))
  for (let n = 1; n <= 100; n++) {
    const write = await storage.update('/lease', bytes(String(n)), revision, beat)
    revision = write.revision
    await env.advance(10_000)
    await turn()
  }
  assert.deepEqual(onDisk(path), created)
  await storage.create('/event', bytes('seen'), beat)
  await env.advance(59_000)
  await turn()
  assert.deepEqual(onDisk(path), created)
  await env.advance(1000)
  await turn()
  assert.ok(onDisk(path).wal.includes('/event'))
  const brief = await storage.create('/brief', bytes('unseen'), beat)
  await storage.delete('/brief', brief.revision, beat)
  const before = onDisk(path)
  await env.advance(120_000)
  await turn()
  assert.deepEqual(onDisk(path), before)
  await storage.close()
  const again = openSqliteStorage({ path, clock: env.clock, log })
  assert.equal(textOf((await again.get('/lease')).value?.value), '100')
  assert.equal(textOf((await again.get('/event')).value?.value), 'seen')
  await again.close()
  remove()
})

const turn = () => new Promise((resolve) => setImmediate(resolve))

withStore('the journal says who changed what, when and why', async (open) => {
  const storage = open()
  const first = await create(storage, '/pods/a', 'one')
  await storage.update('/pods/a', bytes('two'), first, {
    actor: 'bob',
    cause: 'a whim',
    time: 2000,
  })
  await create(storage, '/pods/b', 'x')
  const { value } = await storage.get('/pods/a')
  await storage.delete('/pods/a', value?.modified ?? 0, { actor: 'eve', time: 3000 })
  const all = await Array.fromAsync(storage.journal.changes({ key: '/pods/a' }))
  assert.deepEqual(
    all.map(({ type, value: bytesThen, origin: { actor, cause } }) => [
      type,
      textOf(bytesThen),
      actor,
      cause,
    ]),
    [
      ['created', 'one', 'tester', 'a test'],
      ['updated', 'two', 'bob', 'a whim'],
      ['deleted', '', 'eve', undefined],
    ],
  )
  assert.equal(all[1]?.before, first)
  const latest = await Array.fromAsync(
    storage.journal.changes({ prefix: '/pods/', descending: true, values: false }),
  )
  assert.deepEqual(
    latest.map(({ key }) => key),
    ['/pods/a', '/pods/b', '/pods/a', '/pods/a'],
  )
  const timed = await Array.fromAsync(storage.journal.changes({ fromTime: 2000, toTime: 2500 }))
  assert.deepEqual(
    timed.map(({ origin: { actor } }) => actor),
    ['bob'],
  )
})

test('history is folded away by age, and what is older is refused', async () => {
  const { path, remove } = temporary()
  const env = virtualEnv()
  const options = { path, clock: env.clock, log, historyMs: 3_600_000 }
  let storage = openSqliteStorage(options)
  const early = await create(storage, '/a', 'one')
  await create(storage, '/b', 'kept')
  await env.advance(2 * 3_600_000)
  const late = await storage.update('/a', bytes('two'), early, origin)
  await storage.close()
  storage = openSqliteStorage(options)
  const later = await create(storage, '/c', 'x')
  const at = async (revision: number) =>
    (await storage.journal.listAt({ prefix: '/' }, revision)).map(
      ({ key, value }) => `${key}=${textOf(value)}`,
    )
  await assert.rejects(at(early - 1), CompactedError)
  assert.deepEqual(await at(late.revision), ['/a=two', '/b=kept'])
  assert.deepEqual(await at(later), ['/a=two', '/b=kept', '/c=x'])
  const seen = await Array.fromAsync(storage.journal.changes())
  assert.deepEqual(
    seen.map(({ key }) => key),
    ['/a', '/c'],
  )
  await storage.close()
  remove()
})

withStore('the file stays bounded however much is written', async (open, path) => {
  const storage = open({ historyBytes: 500_000 })
  let revision = await create(storage, '/a', '')
  const value = bytes('x'.repeat(20_000))
  for (let n = 0; n < 1000; n++)
    revision = (await storage.update('/a', value, revision, origin)).revision
  await storage.close()
  assert.ok(statSync(path).size < 2_500_000, `${statSync(path).size} bytes`)
  assert.equal((await open().get('/a')).value?.modified, revision)
})
