/** A process that writes until it is killed, and prints each key once its write is acknowledged. */
import { writeSync } from 'node:fs'
import { realEnv, silentLogger } from '#base'
import { openSqliteStorage } from './sqlite.ts'

const [path = '', prefix = ''] = process.argv.slice(2)
const { clock } = realEnv()
const storage = openSqliteStorage({ path, clock, log: silentLogger, historyBytes: 100_000 })
const value = Buffer.alloc(1500, 'x')
let count = 0

async function write(): Promise<void> {
  for (;;) {
    const key = `/${prefix}/${count++}`
    const { ok, revision } = await storage.create(key, value, { actor: 'writer', time: 0 })
    if (ok) writeSync(1, `${key} ${revision}\n`)
  }
}
await Promise.all(Array.from({ length: 8 }, write))
