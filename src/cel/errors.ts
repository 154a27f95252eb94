/** What is wrong with an expression, in the form that clients of Kubernetes show. */

export interface Issue {
  /** In characters of the source; -1 when it is about the whole of it. */
  readonly offset: number
  readonly message: string
}

/** Thrown by the reader when it cannot go on. */
export class SyntaxIssue extends Error {
  readonly issue: Issue
  constructor(offset: number, message: string) {
    super(message)
    this.issue = { offset, message }
  }
}

/** An evaluation that failed. */
export class CelError extends Error {
  /** A budget that is spent, or a wait: no `&&` or `||` may hide it. */
  readonly final: boolean
  constructor(message: string, { final = false }: { readonly final?: boolean } = {}) {
    super(message)
    this.name = 'CelError'
    this.final = final
  }
}

const MAX_ISSUES = 100
/** Characters after which no further issue is described: each brings its whole line. */
const MAX_LENGTH = 100_000

/** The issues with the lines they are about. */
export function describeIssues(source: string, issues: readonly Issue[]): string {
  const lines = source.split('\n')
  const sorted = issues.toSorted((a, b) => a.offset - b.offset).slice(0, MAX_ISSUES)
  const described: string[] = []
  let length = 0
  for (const issue of sorted) {
    if (length > MAX_LENGTH) break
    const text = describe(lines, issue)
    described.push(text)
    length += text.length
  }
  return described.join('\n')
}

function describe(lines: readonly string[], { offset, message }: Issue): string {
  if (offset < 0) return `ERROR: <input>:-1:0: ${message}`
  let line = 0
  let column = offset
  while (line < lines.length - 1 && column > (lines[line] ?? '').length) {
    column -= (lines[line] ?? '').length + 1
    line++
  }
  const text = (lines[line] ?? '').replaceAll('\t', ' ')
  const before = Array.from(text.slice(0, column), (each) => (isWide(each) ? '．' : '.')).join('')
  const mark = isWide(text[column] ?? '') ? '＾' : '^'
  return `ERROR: <input>:${line + 1}:${Array.from(text.slice(0, column)).length + 1}: ${message}\n | ${text}\n | ${before}${mark}`
}

/** Characters of several bytes. */
const isWide = (character: string): boolean => character > '\x7f'
