/** New memory is touched by a thread that has the time. */
import { open } from 'node:fs/promises'
import type { TouchPages } from '../slabs.ts'

/** Has one of Node's threads read zeros into it. Where there are none, the memory is as good without. */
export const touchPages: TouchPages = async (bytes) => {
  try {
    const zeros = await open('/dev/zero')
    try {
      await zeros.read(bytes, 0, bytes.byteLength)
    } finally {
      await zeros.close()
    }
  } catch {
    // The first write to each page costs what it costs.
  }
}
