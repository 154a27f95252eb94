/**
 * Differences of two texts by lines, in the unified form: with three lines around each change. Which
 * lines are taken to be the same is as in Python's difflib, whose results Kubernetes prints.
 */

interface Block {
  readonly a: number
  readonly b: number
  readonly size: number
}
type Change = 'equal' | 'replace' | 'delete' | 'insert'
interface Step {
  readonly change: Change
  readonly a: readonly [from: number, to: number]
  readonly b: readonly [from: number, to: number]
}

const CONTEXT = 3
/** In longer texts, lines that make up more than a hundredth of it say nothing of where one is. */
const LONG = 200

/** Empty where nothing differs. */
export function unifiedDiff(before: string, after: string): string {
  const a = before.split('\n')
  const b = after.split('\n')
  const lines: string[] = []
  for (const group of groupsOf(stepsOf(a, b))) {
    const [first, last] = [group[0], group.at(-1)]
    if (first === undefined || last === undefined) continue
    lines.push(`@@ -${rangeText(first.a[0], last.a[1])} +${rangeText(first.b[0], last.b[1])} @@`)
    for (const { change, a: from, b: to } of group) {
      if (change === 'equal') lines.push(...a.slice(...from).map((line) => ` ${line}`))
      if (change === 'replace' || change === 'delete')
        lines.push(...a.slice(...from).map((line) => `-${line}`))
      if (change === 'replace' || change === 'insert')
        lines.push(...b.slice(...to).map((line) => `+${line}`))
    }
  }
  return lines.map((line) => `${line}\n`).join('')
}

function rangeText(from: number, to: number): string {
  const length = to - from
  if (length === 1) return String(from + 1)
  return `${length === 0 ? from : from + 1},${length}`
}

/** Changes with what is around them; those that are near each other stand together. */
function groupsOf(steps: readonly Step[]): readonly (readonly Step[])[] {
  const groups: Step[][] = []
  let group: Step[] = []
  for (const [i, step] of steps.entries()) {
    if (step.change !== 'equal') {
      group.push(step)
      continue
    }
    const [from, to] = step.a
    const isFirst = i === 0
    const isLast = i === steps.length - 1
    if (!isFirst && !isLast && to - from > 2 * CONTEXT) {
      group.push(cut(step, { to: from + CONTEXT }))
      groups.push(group)
      group = [cut(step, { from: to - CONTEXT })]
    } else if (isFirst) group.push(cut(step, { from: Math.max(from, to - CONTEXT) }))
    else if (isLast) group.push(cut(step, { to: Math.min(to, from + CONTEXT) }))
    else group.push(step)
  }
  if (group.some(({ change }) => change !== 'equal')) groups.push(group)
  return groups
}

function cut(step: Step, { from, to }: { readonly from?: number; readonly to?: number }): Step {
  const shift = step.b[0] - step.a[0]
  const [start, end] = [from ?? step.a[0], to ?? step.a[1]]
  return { change: 'equal', a: [start, end], b: [start + shift, end + shift] }
}

function stepsOf(a: readonly string[], b: readonly string[]): readonly Step[] {
  const steps: Step[] = []
  let [i, j] = [0, 0]
  for (const block of [...blocksOf(a, b), { a: a.length, b: b.length, size: 0 }]) {
    const change =
      i < block.a && j < block.b
        ? 'replace'
        : i < block.a
          ? 'delete'
          : j < block.b
            ? 'insert'
            : undefined
    if (change !== undefined) steps.push({ change, a: [i, block.a], b: [j, block.b] })
    i = block.a + block.size
    j = block.b + block.size
    if (block.size > 0) steps.push({ change: 'equal', a: [block.a, i], b: [block.b, j] })
  }
  return steps
}

/** What is the same, in order: the longest run first, then what is left and right of it. */
function blocksOf(a: readonly string[], b: readonly string[]): readonly Block[] {
  const where = new Map<string, number[]>()
  for (const [j, line] of b.entries()) {
    const known = where.get(line)
    if (known === undefined) where.set(line, [j])
    else known.push(j)
  }
  const common = Math.floor(b.length / 100) + 1
  if (b.length >= LONG) for (const [line, at] of where) if (at.length > common) where.delete(line)
  const blocks: Block[] = []
  const waiting: (readonly [number, number, number, number])[] = [[0, a.length, 0, b.length]]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const [aFrom, aTo, bFrom, bTo] = next
    const block = longest(a, b, where, next)
    if (block.size === 0) continue
    blocks.push(block)
    waiting.push([aFrom, block.a, bFrom, block.b])
    waiting.push([block.a + block.size, aTo, block.b + block.size, bTo])
  }
  blocks.sort((one, other) => one.a - other.a)
  const joined: Block[] = []
  for (const block of blocks) {
    const last = joined.at(-1)
    if (last !== undefined && last.a + last.size === block.a && last.b + last.size === block.b)
      joined[joined.length - 1] = { ...last, size: last.size + block.size }
    else joined.push(block)
  }
  return joined
}

function longest(
  a: readonly string[],
  b: readonly string[],
  where: ReadonlyMap<string, readonly number[]>,
  [aFrom, aTo, bFrom, bTo]: readonly [number, number, number, number],
): Block {
  let best: Block = { a: aFrom, b: bFrom, size: 0 }
  let before = new Map<number, number>()
  for (let i = aFrom; i < aTo; i++) {
    const now = new Map<number, number>()
    for (const j of where.get(a[i] ?? '') ?? []) {
      if (j < bFrom) continue
      if (j >= bTo) break
      const size = (before.get(j - 1) ?? 0) + 1
      now.set(j, size)
      if (size > best.size) best = { a: i - size + 1, b: j - size + 1, size }
    }
    before = now
  }
  // Lines that are too common to begin with may continue what was found.
  while (best.a > aFrom && best.b > bFrom && a[best.a - 1] === b[best.b - 1])
    best = { a: best.a - 1, b: best.b - 1, size: best.size + 1 }
  while (
    best.a + best.size < aTo &&
    best.b + best.size < bTo &&
    a[best.a + best.size] === b[best.b + best.size]
  )
    best = { ...best, size: best.size + 1 }
  return best
}
