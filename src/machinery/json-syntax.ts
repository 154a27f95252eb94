/** What is wrong with text that is not JSON, in the words of Go's decoder. */

const END = 'unexpected end of JSON input'

class Wrong extends Error {}

/** Only asked when the text is known to be wrong: it is read again, to the first character that cannot be. */
export function jsonSyntaxError(text: string): string {
  const scanner = new Scanner(text)
  try {
    scanner.document()
  } catch (error) {
    if (error instanceof Wrong) return error.message
    if (error instanceof RangeError) return 'exceeded max depth'
    throw error
  }
  return END
}

const SPACE = /[ \t\r\n]/
const HEX = /[0-9a-fA-F]/
const DIGIT = /[0-9]/

class Scanner {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  document(): void {
    this.#value()
    this.#space()
    if (this.#at < this.#text.length) this.#fail('after top-level value')
  }

  #value(): void {
    this.#space()
    const first = this.#peek()
    if (first === '{') this.#object()
    else if (first === '[') this.#array()
    else if (first === '"') this.#string()
    else if (first === '-' || DIGIT.test(first)) this.#number()
    else if (first === 't') this.#literal('true')
    else if (first === 'f') this.#literal('false')
    else if (first === 'n') this.#literal('null')
    else this.#fail('looking for beginning of value')
  }

  #object(): void {
    this.#at++
    this.#space()
    if (this.#peek() === '}') return void this.#at++
    for (;;) {
      this.#space()
      if (this.#peek() !== '"') this.#fail('looking for beginning of object key string')
      this.#string()
      this.#space()
      if (this.#peek() !== ':') this.#fail('after object key')
      this.#at++
      this.#value()
      this.#space()
      const next = this.#peek()
      if (next !== ',' && next !== '}') this.#fail('after object key:value pair')
      this.#at++
      if (next === '}') return
    }
  }

  #array(): void {
    this.#at++
    this.#space()
    if (this.#peek() === ']') return void this.#at++
    for (;;) {
      this.#value()
      this.#space()
      const next = this.#peek()
      if (next !== ',' && next !== ']') this.#fail('after array element')
      this.#at++
      if (next === ']') return
    }
  }

  #string(): void {
    this.#at++
    for (;;) {
      const next = this.#peek()
      if (next === '"') return void this.#at++
      if (next < ' ') this.#fail('in string literal')
      this.#at++
      if (next !== '\\') continue
      if (!'bfnrt\\/"u'.includes(this.#within())) this.#fail('in string escape code')
      const isUnicode = this.#within() === 'u'
      this.#at++
      for (let i = 0; isUnicode && i < 4; i++, this.#at++)
        if (!HEX.test(this.#within())) this.#fail('in \\u hexadecimal character escape')
    }
  }

  #number(): void {
    if (this.#peek() === '-') {
      this.#at++
      if (!DIGIT.test(this.#within())) this.#fail('in numeric literal')
    }
    if (this.#text[this.#at] === '0') this.#at++
    else this.#digits()
    if (this.#text[this.#at] === '.') {
      this.#at++
      if (!DIGIT.test(this.#within())) this.#fail('after decimal point in numeric literal')
      this.#digits()
    }
    if (this.#text[this.#at] === 'e' || this.#text[this.#at] === 'E') {
      this.#at++
      if (this.#within() === '+' || this.#within() === '-') this.#at++
      if (!DIGIT.test(this.#within())) this.#fail('in exponent of numeric literal')
      this.#digits()
    }
  }

  #digits(): void {
    while (DIGIT.test(this.#text[this.#at] ?? '')) this.#at++
  }

  #literal(word: string): void {
    for (const letter of word) {
      if (this.#within() !== letter) this.#fail(`in literal ${word} (expecting '${letter}')`)
      this.#at++
    }
  }

  #space(): void {
    while (SPACE.test(this.#text[this.#at] ?? '')) this.#at++
  }

  #peek(): string {
    const character = this.#text[this.#at]
    if (character === undefined) throw new Wrong(END)
    return character
  }

  /** Within a word or a number the end is taken for a space, which cannot be there. */
  #within(): string {
    return this.#text[this.#at] ?? ' '
  }

  #fail(where: string): never {
    throw new Wrong(`invalid character '${shownByte(this.#within())}' ${where}`)
  }
}

/** As Go shows a byte: of letters that are several it shows the first. */
function shownByte(character: string): string {
  if (character === '"') return character
  if (character === "'") return "\\'"
  const [byte = 0] = Buffer.from(character)
  const named = SHOWN[character]
  if (named !== undefined) return named
  return byte < 0x20 || (byte >= 0x7f && byte < 0xa1) || byte === 0xad
    ? `\\x${byte.toString(16).padStart(2, '0')}`
    : String.fromCharCode(byte)
}
const SHOWN: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  '\n': '\\n',
  '\t': '\\t',
  '\r': '\\r',
  '\b': '\\b',
  '\f': '\\f',
  '\v': '\\v',
  '\x07': '\\a',
}
