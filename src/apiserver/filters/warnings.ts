/** What clients are warned of, as headers: each once, and not more than a client's headers may hold. */

/** Past so many characters in all, each warning is cut. */
const MOST_CHARACTERS = 4096
const MOST_CHARACTERS_EACH = 256

export function warningHeaders(texts: readonly string[]): readonly string[] {
  if (texts.length === 0) return texts
  const once = [...new Set(texts)].filter((text) => text !== '').map((text) => Array.from(text))
  const total = once.reduce((sum, text) => sum + text.length, 0)
  if (total <= MOST_CHARACTERS) return once.map(warningHeader)
  const headers: string[] = []
  let written = 0
  for (const text of once) {
    if (written >= MOST_CHARACTERS) break
    const shown = text.slice(0, MOST_CHARACTERS_EACH)
    written += shown.length
    headers.push(warningHeader(shown))
  }
  return headers
}

/** RFC 7234 §5.5, code 299; the agent is not named. Control characters cannot be in a header, UTF-8 can. */
function warningHeader(text: readonly string[]): string {
  const quoted = text
    .join('')
    .replaceAll(/\p{Cc}+/gu, ' ')
    .replaceAll('\\', '\\\\')
    .replaceAll('"', '\\"')
  return `299 - "${Buffer.from(quoted, 'utf8').toString('latin1')}"`
}
