/** Which volatile objects (leases, events) the disk does not know as they are. */
import type { Origin } from '../storage.ts'
import type { Table, TableChange } from '../table.ts'
import type { LoggedChange } from './format.ts'

interface Mark {
  /** It came or went since, and the disk should hear of that some time; else only its value is newer: a heartbeat. */
  readonly existence: boolean
  /** An older state of it is on disk. */
  readonly onDisk: boolean
  readonly origin: Origin
}

export interface Unsaved {
  /** How many came or went. */
  readonly existence: number
  add(change: TableChange): void
  /** A durable write has taken over. */
  forget(key: string): void
  /** What to write; it counts as written unless it is put back. Keys that `durable` writes as well are left out. */
  take(which: 'existence' | 'all', durable: readonly LoggedChange[]): readonly LoggedChange[]
  putBack(changes: readonly LoggedChange[]): void
}

export function createUnsaved(table: Table): Unsaved {
  const marks = new Map<string, Mark>()
  let existence = 0
  const remove = (key: string) => {
    if (marks.get(key)?.existence === true) existence--
    marks.delete(key)
  }
  const put = (key: string, mark: Mark) => {
    remove(key)
    marks.set(key, mark)
    if (mark.existence) existence++
  }

  return {
    get existence() {
      return existence
    },
    add({ type, key, origin }) {
      const mark = marks.get(key)
      const onDisk = mark?.onDisk ?? type !== 'created'
      // It came and went unseen by the disk.
      if (type === 'deleted' && !onDisk) remove(key)
      else put(key, { existence: type !== 'updated' || mark?.existence === true, onDisk, origin })
    },
    forget: remove,
    take(which, durable) {
      const skip = new Set(durable.map(({ key }) => key))
      const taken: LoggedChange[] = []
      for (const [key, { existence: comesOrGoes, onDisk, origin }] of marks) {
        if (skip.has(key) || (which === 'existence' && !comesOrGoes)) continue
        const entry = table.newest(key)
        const present = entry !== undefined && !entry.deleted
        taken.push({
          type: !present ? 'deleted' : onDisk ? 'updated' : 'created',
          key,
          revision: entry?.modified ?? table.current,
          created: entry?.created ?? table.current,
          before: 0,
          value: present ? entry.value : NOTHING,
          origin,
        })
        remove(key)
      }
      return taken
    },
    putBack(changes) {
      for (const { type, key, origin } of changes)
        if (!marks.has(key)) put(key, { existence: true, onDisk: type !== 'created', origin })
    },
  }
}

const NOTHING = new Uint8Array(0)
