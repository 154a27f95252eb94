/** What is wrong with the text of a semantic version, in the words of the library that Kubernetes uses. */

const quote = (text: string): string => JSON.stringify(text)
const hasLeadingZeros = (text: string): boolean => text.length > 1 && text.startsWith('0')
const isNumber = (text: string): boolean => /^\d*$/.test(text)
const isWord = (text: string): boolean => /^[0-9a-zA-Z-]*$/.test(text)
const LARGEST = 2n ** 64n - 1n

/** Nothing where it is a version: `1.2.3-rc.1+build`. */
export function versionProblem(text: string): string | undefined {
  if (text === '') return 'Version string empty'
  const [major, minor, ...more] = text.split('.')
  if (major === undefined || minor === undefined || more.length === 0)
    return 'No Major.Minor.Patch elements found'
  const [rest, build] = cutAt(more.join('.'), '+')
  const [patch, before] = cutAt(rest, '-')
  return (
    numberProblem(major, 'major') ??
    numberProblem(minor, 'minor') ??
    numberProblem(patch, 'patch') ??
    first(before?.split('.'), beforeProblem) ??
    first(build?.split('.'), buildProblem)
  )
}

function cutAt(text: string, separator: string): readonly [string, string?] {
  const i = text.indexOf(separator)
  return i < 0 ? [text] : [text.slice(0, i), text.slice(i + 1)]
}

function first(
  parts: readonly string[] | undefined,
  problem: (part: string) => string | undefined,
): string | undefined {
  for (const part of parts ?? []) {
    const why = problem(part)
    if (why !== undefined) return why
  }
  return undefined
}

function numberProblem(text: string, name: 'major' | 'minor' | 'patch'): string | undefined {
  if (!isNumber(text)) return `Invalid character(s) found in ${name} number ${quote(text)}`
  if (hasLeadingZeros(text)) {
    const title = name.charAt(0).toUpperCase() + name.slice(1)
    return `${title} number must not contain leading zeroes ${quote(text)}`
  }
  return sizeProblem(text)
}

function sizeProblem(text: string): string | undefined {
  if (text === '') return 'strconv.ParseUint: parsing "": invalid syntax'
  return BigInt(text) > LARGEST
    ? `strconv.ParseUint: parsing ${quote(text)}: value out of range`
    : undefined
}

function beforeProblem(part: string): string | undefined {
  if (part === '') return 'Prerelease is empty'
  if (!isNumber(part))
    return isWord(part) ? undefined : `Invalid character(s) found in prerelease ${quote(part)}`
  return hasLeadingZeros(part)
    ? `Numeric PreRelease version must not contain leading zeroes ${quote(part)}`
    : sizeProblem(part)
}

function buildProblem(part: string): string | undefined {
  if (part === '') return 'Build meta data is empty'
  return isWord(part) ? undefined : `Invalid character(s) found in build meta data ${quote(part)}`
}
