/** Indexes of pods of an Indexed Job as text: `1,3-5,7`. */

export type Indexes = { readonly count: number } | { readonly problem: string }

const FORM = /^\d+$/

/** How many they are, or what is wrong with the text. They grow, and are smaller than `completions`. */
export function readIndexes(text: string, completions: number): Indexes {
  let count = 0
  let last = -1
  const number = (part: string): number | string => {
    if (!FORM.test(part)) return `cannot convert string to integer for index: ${quoted(part)}`
    return Number(part) < completions ? Number(part) : `too large index: ${quoted(part)}`
  }
  for (const interval of text === '' ? [] : text.split(',')) {
    const parts = interval.split('-')
    if (parts.length > 2)
      return {
        problem: `the fragment ${quoted(interval)} violates the requirement that an index interval can have at most two parts separated by '-'`,
      }
    const ends = parts.map(number)
    const wrong = ends.find((end) => typeof end === 'string')
    if (typeof wrong === 'string') return { problem: wrong }
    const [first = 0, end = first] = ends as number[]
    for (const [previous, current, isEqual] of [
      [last, first, false],
      [first, end, parts.length === 1],
    ] as const)
      if (current < previous || (current === previous && !isEqual))
        return { problem: `non-increasing order, previous: ${previous}, current: ${current}` }
    count += end - first + 1
    last = end
  }
  return { count }
}

const quoted = (text: string): string => JSON.stringify(text)
