import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseJson } from './integers.ts'

/** JSON in which every character of a string may be written with an escape. */
const written = (text: string, pick: () => number): string =>
  text
    .split('')
    .map((character) => {
      const plain = JSON.stringify(character).slice(1, -1)
      const code = character.charCodeAt(0)
      return pick() % 3 === 0 && character.length === 1
        ? `\\u${code.toString(16).padStart(4, '0')}`
        : plain
    })
    .join('')

test('nobody else decides which keys an object has', () => {
  const key = 'k:{"name":"A"}'
  const hostile = JSON.stringify(key).slice(1, -1).slice(0, key.length)
  parseJson(JSON.stringify({ '.': {}, [hostile]: {} }))
  assert.deepEqual(parseJson(JSON.stringify({ '.': {}, [key]: {} })), { '.': {}, [key]: {} })
})

test('keys are what their escapes say, in their order, the last of two counts', () => {
  const letters = fc.constantFrom('a', 'b', '"', '\\', '/', '\n', '<', '1', 'é', ':', '{', ',', ' ')
  const strings = fc.array(letters, { maxLength: 4 }).map((each) => each.join(''))
  const members = fc.array(fc.tuple(strings, fc.oneof(strings, fc.integer())), { maxLength: 4 })
  fc.assert(
    fc.property(
      fc.array(members, { maxLength: 4 }),
      fc.infiniteStream(fc.nat(5)),
      (objects, stream) => {
        const pick = (): number => stream.next().value
        const text = objects.map((each) => {
          const inner = each.map(([key, value]) => {
            const shown = typeof value === 'string' ? `"${written(value, pick)}"` : String(value)
            return `"${written(key, pick)}"${pick() === 0 ? ' ' : ''}:${shown}`
          })
          return `{${inner.join(pick() === 0 ? ' ,\n' : ',')}}`
        })
        const parsed = parseJson(`[${text.join(',')}]`) as object[]
        assert.deepEqual(
          parsed.map((each) => Object.entries(each)),
          objects.map((each) => Object.entries(Object.fromEntries(each))),
        )
      },
    ),
    { numRuns: 500 },
  )
})

test('texts that are no JSON stay so, and odd names are names', () => {
  for (const text of ['{"\\u00":1}', '{"a\\":1}', '{"\\x":1}', '{,"\\n":1}', '["\\n":1]'])
    assert.throws(() => parseJson(text), SyntaxError)
  const odd = parseJson(
    '{"\\u005f_proto__":1,"\\u0031":2,"\\uE000":{"\\n":[3,{"\\t":4}]}}',
  ) as object
  assert.deepEqual(Object.entries(odd), [
    ['1', 2],
    ['__proto__', 1],
    ['\uE000', { '\n': [3, { '\t': 4 }] }],
  ])
  assert.equal(Object.getPrototypeOf(odd), Object.prototype)
})
