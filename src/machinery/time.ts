/** Times as objects have them. */

let second = Number.NaN
let text = ''

/** RFC 3339 in UTC and whole seconds, rounded down: `2026-01-02T03:04:05Z` (metav1.Time). */
export function timestamp(time: Date): string {
  const at = Math.floor(time.getTime() / 1000)
  // Most are of the same second as the one before.
  if (at !== second) {
    text = `${time.toISOString().slice(0, 19)}Z`
    second = at
  }
  return text
}
