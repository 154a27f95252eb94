/** Where the compiled form of the program is kept from one start to the next. */
import { enableCompileCache } from 'node:module'
import { join } from 'node:path'

/** Run from source it lies beside the packages, and outlives a reboot; otherwise where Node keeps such things. */
export function keepCompiled(): void {
  const isSource = import.meta.filename.endsWith('.ts')
  enableCompileCache(
    isSource
      ? join(import.meta.dirname, '..', '..', 'node_modules', '.cache', 'navarch-compiled')
      : undefined,
  )
}
