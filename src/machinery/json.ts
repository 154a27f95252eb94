/** Decoding what clients send: JSON and YAML, with the path of every field that is written twice. */
import {
  Composer,
  Lexer,
  Parser,
  YAMLParseError,
  isMap,
  isScalar,
  visit,
  type CST,
  type Document,
  type Scalar,
  type ScalarTag,
  type YAMLMap,
} from 'yaml'
import { exactInteger, parseJson } from './integers.ts'
import { jsonSyntaxError } from './json-syntax.ts'
import { badRequest, StatusError } from './status.ts'

/** The value, and what a strict reader would refuse. */
export interface Decoded {
  readonly value: unknown
  /** Paths of fields that occur twice in their object: `spec.replicas`. The last one counts, as in encoding/json. */
  readonly duplicateFields: readonly string[]
  /** The same of a YAML text, as its readers say it: `yaml: unmarshal errors:` and a line for each. */
  readonly duplicateKeys?: string
}

/** Nesting beyond this is an attack, not an object. */
export const MAX_DEPTH = 1000
/** Each takes a microsecond or two; manifests of 3 MB, the largest body, have half a million to one and a half. */
const MAX_YAML_TOKENS = 2_000_000

const TOO_DEEP = `the body is nested deeper than ${MAX_DEPTH} levels`

const decoder = new TextDecoder('utf-8', { fatal: true })

/** Throws 400 for what is not JSON. Duplicates are looked for only when asked: it takes a second pass. */
export function decodeJson(
  bytes: Uint8Array | string,
  options: { readonly duplicates?: boolean } = {},
): Decoded {
  const text = typeof bytes === 'string' ? bytes : bodyText(bytes)
  let value: unknown
  try {
    value = parseJson(text)
  } catch (error) {
    // What the engine reads without end, the walk through its keys may not.
    throw badRequest(error instanceof RangeError ? TOO_DEEP : jsonSyntaxError(text))
  }
  // A document of so few characters cannot be deeper.
  if (options.duplicates !== true && text.length < MAX_DEPTH) return { value, duplicateFields: [] }
  const members = countMembers(text)
  return {
    value,
    duplicateFields:
      options.duplicates === true && members > membersOf(value) ? duplicatesIn(text) : [],
  }
}

/** The text of a body. Throws 400 for what is none. */
export function bodyText(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch {
    throw badRequest('the body is not valid UTF-8')
  }
}

/** How many members the objects of valid JSON have, those that are written twice counted twice. Throws 400 when it is too deep. */
function countMembers(text: string): number {
  let depth = 0
  let members = 0
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case QUOTE:
        i = endOfString(text, i)
        break
      case COLON:
        members++
        break
      case OPENING_BRACE:
      case OPENING_BRACKET:
        if (++depth > MAX_DEPTH) throw badRequest(TOO_DEEP)
        break
      case CLOSING_BRACE:
      case CLOSING_BRACKET:
        depth--
    }
  }
  return members
}
const [QUOTE, BACKSLASH, COLON] = [34, 92, 58]
const [OPENING_BRACE, CLOSING_BRACE, OPENING_BRACKET, CLOSING_BRACKET] = [123, 125, 91, 93]

/** The place of the quote that ends the string which begins here. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); ; end = text.indexOf('"', end + 1)) {
    let before = end - 1
    while (text.charCodeAt(before) === BACKSLASH) before--
    // Backslashes escape each other; one that is left over escapes the quote.
    if ((end - before) % 2 === 1) return end
  }
}

function membersOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  let count = 0
  if (Array.isArray(value)) for (const item of value) count += membersOf(item)
  else for (const key in value) count += 1 + membersOf((value as Record<string, unknown>)[key])
  return count
}

/** Walks valid JSON once, without building values. */
function duplicatesIn(text: string): string[] {
  const found: string[] = []
  let at = 0
  const skipSpace = (): void => {
    while (at < text.length && text.charCodeAt(at) <= 32) at++
  }
  const readString = (): string => {
    const start = at++
    let escaped = false
    while (text.charCodeAt(at) !== 34) {
      if (text.charCodeAt(at) === 92) {
        escaped = true
        at++
      }
      at++
    }
    at++
    return escaped ? (JSON.parse(text.slice(start, at)) as string) : text.slice(start + 1, at - 1)
  }
  const walk = (path: string): void => {
    skipSpace()
    const c = text[at]
    if (c === '{') {
      at++
      const seen = new Set<string>()
      for (skipSpace(); text[at] !== '}'; skipSpace()) {
        if (text[at] === ',') {
          at++
          skipSpace()
        }
        const key = readString()
        const inner = path === '' ? key : `${path}.${key}`
        if (seen.has(key)) found.push(inner)
        seen.add(key)
        skipSpace()
        at++
        walk(inner)
      }
      at++
    } else if (c === '[') {
      at++
      let index = 0
      for (skipSpace(); text[at] !== ']'; skipSpace()) {
        if (text[at] === ',') {
          at++
          continue
        }
        walk(`${path}[${index++}]`)
      }
      at++
    } else if (c === '"') readString()
    else while (at < text.length && !',]}'.includes(text[at] ?? '')) at++
  }
  walk('')
  return found
}

/** What manifests mean by older rules (YAML 1.1), which Kubernetes reads them by: `yes` is true, `0644` is octal. */
const OLDER_TAGS: readonly ScalarTag[] = [
  {
    tag: 'tag:yaml.org,2002:bool',
    default: true,
    test: /^(?:yes|Yes|YES|on|On|ON|no|No|NO|off|Off|OFF)$/,
    resolve: (text) => /^(?:yes|on)$/i.test(text),
  },
  {
    tag: 'tag:yaml.org,2002:int',
    default: true,
    test: /^[-+]?0[0-7]+$/,
    resolve: (text) => Number.parseInt(text, 8),
  },
]

/** One document; more than one is refused. */
export function decodeYaml(bytes: Uint8Array | string): Decoded {
  const text = typeof bytes === 'string' ? bytes : bodyText(bytes)
  // JSON is YAML, and what most clients send; reading it as such is many times faster.
  if (/^\s*\{/.test(text)) {
    try {
      JSON.parse(text)
      return decodeJson(text, { duplicates: true })
    } catch (error) {
      if (error instanceof StatusError) throw error
    }
  }
  const documents = composed(text).filter((each) => each.contents !== null)
  if (documents.length > 1) throw badRequest('the body has more than one YAML document')
  const [document] = documents
  if (document === undefined) return { value: null, duplicateFields: [] }
  const [error] = document.errors
  if (error !== undefined) throw notYaml(error.message, lineAt(text, error.pos[0]))
  const duplicateFields: string[] = []
  const lines: string[] = []
  const noteDuplicates = (_: unknown, map: YAMLMap, ancestors: readonly unknown[]): void => {
    // A pair stands between a map and its value.
    if (ancestors.length > 2 * MAX_DEPTH) throw badRequest(TOO_DEEP)
    const seen = new Set<string>()
    for (const { key } of map.items) {
      // Keys are texts, whatever a value of that look would be.
      if (isScalar(key) && typeof key.value !== 'string' && key.source !== undefined)
        key.value = key.source
      const name = isScalar(key) ? String(key.value) : ''
      if (seen.has(name)) {
        duplicateFields.push(pathOf([...ancestors, map], name))
        const at = isScalar(key) ? (key.range?.[0] ?? 0) : 0
        lines.push(`  line ${lineAt(text, at)}: key ${JSON.stringify(name)} already set in map`)
      }
      seen.add(name)
    }
  }
  const Seq = (_: unknown, __: unknown, ancestors: readonly unknown[]): void => {
    if (ancestors.length > 2 * MAX_DEPTH) throw badRequest(TOO_DEEP)
  }
  const Scalar = (_: unknown, scalar: Scalar): void => {
    if (typeof scalar.value === 'bigint') scalar.value = exactInteger(scalar.value)
  }
  let value: unknown
  try {
    visit(document, { Map: noteDuplicates, Seq, Scalar })
    value = document.toJS({ maxAliasCount: 100 })
  } catch (failure) {
    throw failure instanceof StatusError ? failure : notYaml(failure)
  }
  return lines.length === 0
    ? { value, duplicateFields }
    : { value, duplicateFields, duplicateKeys: ['yaml: unmarshal errors:', ...lines].join('\n') }
}

/** Its documents. The reader is slow: it stops at the first mistake, and at more parts than any object has. */
function composed(text: string): readonly Document.Parsed[] {
  const parser = new Parser()
  const parts: CST.Token[] = []
  let count = 0
  let depth = 0
  for (const lexeme of new Lexer().lex(text)) {
    if (++count > MAX_YAML_TOKENS)
      throw badRequest(`the body has more than ${MAX_YAML_TOKENS} parts of YAML: send it as JSON`)
    if (lexeme === '[' || lexeme === '{') {
      if (++depth > MAX_DEPTH) throw badRequest(TOO_DEEP)
    } else if (lexeme === ']' || lexeme === '}') depth--
    for (const part of parser.next(lexeme)) {
      if (part.type === 'error') throw notYaml(part.message, lineAt(text, part.offset))
      parts.push(part)
    }
  }
  parts.push(...parser.end())
  const composer = new Composer({
    uniqueKeys: false,
    version: '1.2',
    schema: 'core',
    merge: true,
    intAsBigInt: true,
    // Telling where each of many mistakes is takes a search of the text for each.
    prettyErrors: false,
    customTags: (tags) => [...OLDER_TAGS, ...tags],
  })
  // It would collect them all, and junk has a million.
  const inner = composer as unknown as { onError: (...mistake: unknown[]) => void; errors: Error[] }
  const { onError } = inner
  inner.onError = (...mistake) => {
    onError(...mistake)
    const [first] = inner.errors
    if (first !== undefined) throw first
  }
  try {
    return [...composer.compose(parts)]
  } catch (error) {
    throw error instanceof YAMLParseError
      ? notYaml(error.message, lineAt(text, error.pos[0]))
      : notYaml(error)
  }
}

const lineAt = (text: string, offset: number): number => text.slice(0, offset).split('\n').length

function notYaml(error: unknown, line?: number): StatusError {
  const [text = ''] = (error instanceof Error ? error.message : String(error)).split('\n')
  const why = text.includes('call stack') ? 'it is nested too deep' : text
  const where = line === undefined ? '' : `line ${line}: `
  return badRequest(`error converting YAML to JSON: yaml: ${where}${why}`)
}

function pathOf(ancestors: readonly unknown[], name: string): string {
  let path = ''
  for (let i = 0; i < ancestors.length; i++) {
    const node = ancestors[i] as { items?: readonly unknown[]; key?: unknown }
    const below = ancestors[i + 1]
    if (below === undefined) break
    if (isMap(node)) {
      const pair = below as { key?: unknown }
      const key = isScalar(pair.key) ? String(pair.key.value) : ''
      path = path === '' ? key : `${path}.${key}`
    } else if (Array.isArray(node.items) && !('key' in node)) {
      path = `${path}[${node.items.indexOf(below)}]`
    }
  }
  return path === '' ? name : `${path}.${name}`
}
