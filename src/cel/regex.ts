/** Regular expressions by RE2: linear in the text, whatever was written. */
import { RE2JS } from 're2js'
import { CelError } from './errors.ts'

const MAX_CACHED = 256
/** Of the expression; longer ones take too long to compile. */
const MAX_LENGTH = 10_000
const cache = new Map<string, RE2JS>()

/** Throws a CelError when it is none. */
export function regex(pattern: string): RE2JS {
  const known = cache.get(pattern)
  if (known !== undefined) return known
  const compiled = compile(pattern)
  if (cache.size >= MAX_CACHED) cache.clear()
  cache.set(pattern, compiled)
  return compiled
}

function compile(pattern: string): RE2JS {
  if (pattern.length > MAX_LENGTH)
    throw new CelError('error parsing regexp: expression nests too deeply or is too large')
  try {
    return RE2JS.compile(pattern)
  } catch (error) {
    throw new CelError(
      error instanceof Error ? error.message : `error parsing regexp: \`${pattern}\``,
    )
  }
}

export function isRegex(pattern: string): boolean {
  try {
    regex(pattern)
    return true
  } catch {
    return false
  }
}

export const matches = (text: string, pattern: string): boolean =>
  regex(pattern).matcher(text).find()
