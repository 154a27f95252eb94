/** Sets of completion indexes, as status shows them: `0-2,5,7-9`. */
export function parseIndexes(text: string | undefined, below = Infinity): Set<number> {
  const indexes = new Set<number>()
  for (const part of (text ?? '').split(',')) {
    const [first, last] = part.split('-')
    if (first === undefined || first === '') continue
    const end = Math.min(Number(last ?? first), below - 1)
    for (let index = Number(first); index <= end; index++) indexes.add(index)
  }
  return indexes
}

export function formatIndexes(indexes: Iterable<number>): string {
  const parts: string[] = []
  const sorted = [...indexes].toSorted((a, b) => a - b)
  for (let at = 0; at < sorted.length;) {
    const first = sorted[at] ?? 0
    let end = at
    while (sorted[end + 1] === (sorted[end] ?? 0) + 1) end++
    const last = sorted[end] ?? first
    // A pair is written as two: `1,2`.
    if (last - first >= 2) parts.push(`${first}-${last}`)
    else for (let index = first; index <= last; index++) parts.push(String(index))
    at = end + 1
  }
  return parts.join(',')
}
