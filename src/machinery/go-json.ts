/** JSON in the form of Go's encoder, for clients that compare bytes: revisions of templates, above all. */

const IN_HTML = /[<>&\u2028\u2029]/
const ALL_IN_HTML = /[<>&\u2028\u2029]/g

/** A text of JSON that may stand inside of HTML: these characters are in strings alone, and there they are escaped. */
export const goJson = (json: string): string =>
  IN_HTML.test(json) ? json.replace(ALL_IN_HTML, escaped) : json

const escaped = (char: string): string => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
