/** `$(NAME)` references, as commands, arguments, environment and subPathExpr have them. */

/** A known name gives its value, `$$` gives `$`, and what is not a known reference stays as it is. */
export function expand(text: string, value: (name: string) => string | undefined): string {
  if (!text.includes('$')) return text
  let result = ''
  for (let at = 0; at < text.length; at++) {
    if (text[at] !== '$' || at + 1 === text.length) {
      result += text[at]
      continue
    }
    if (text[at + 1] === '$') {
      result += '$'
      at++
      continue
    }
    const end = text[at + 1] === '(' ? text.indexOf(')', at) : -1
    if (end < 0) {
      result += '$'
      continue
    }
    const name = text.slice(at + 2, end)
    result += value(name) ?? `$(${name})`
    at = end
  }
  return result
}
