/** Regular expressions of schemas: RE2's, which take time in proportion to the text whatever it is. */
import { RE2JS } from 're2js'

interface Pattern {
  test(text: string): boolean
}

const LIMIT = 1024
const compiled = new Map<string, Pattern | { readonly failure: string }>()

function compile(source: string): Pattern | { readonly failure: string } {
  const known = compiled.get(source)
  if (known !== undefined) return known
  let made: Pattern | { readonly failure: string }
  try {
    const expression = RE2JS.compile(source)
    made = { test: (text) => expression.matcher(text).find() }
  } catch (error) {
    made = { failure: error instanceof Error ? error.message : String(error) }
  }
  if (compiled.size >= LIMIT) compiled.clear()
  compiled.set(source, made)
  return made
}

/** Undefined for what is no expression: definitions with such are refused, so nothing is asked of it. */
export function patternOf(source: string): Pattern | undefined {
  const made = compile(source)
  return 'failure' in made ? undefined : made
}

/** Why it is no expression. */
export function patternProblem(source: string): string | undefined {
  const made = compile(source)
  return 'failure' in made ? made.failure : undefined
}
