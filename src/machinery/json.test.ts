import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { stringify } from 'yaml'
import { parseJson } from './integers.ts'
import { decodeJson, decodeYaml, MAX_DEPTH } from './json.ts'
import { StatusError } from './status.ts'

const refused = (run: () => unknown, message: RegExp): void => {
  assert.throws(run, (error) => {
    assert.ok(error instanceof StatusError, String(error))
    assert.equal(error.code, 400)
    assert.match(error.message, message)
    return true
  })
}

test('fields that are there twice are named with their place, and the last counts', () => {
  const text = '{"a":1,"b":{"c":1,"c":2,"d":[{"e":1},{"e":1,"e":"}\\"e\\":"}]},"a":{"a":3}}'
  const { value, duplicateFields } = decodeJson(text, { duplicates: true })
  assert.deepEqual(duplicateFields, ['b.c', 'b.d[1].e', 'a'])
  assert.deepEqual(value, JSON.parse(text))
  assert.deepEqual(decodeJson(text).duplicateFields, [])
  assert.deepEqual(decodeJson('{"\\u0061":1,"a":2}', { duplicates: true }).duplicateFields, ['a'])
})

test('the same holds for YAML', () => {
  const { value, duplicateFields } = decodeYaml('a: 1\nb:\n  c:\n  - d: 1\n    d: 2\na: 3\n')
  assert.deepEqual(duplicateFields, ['a', 'b.c[0].d'])
  assert.deepEqual(value, { a: 3, b: { c: [{ d: 2 }] } })
  assert.deepEqual(decodeYaml(' {"a": 1, "a": 2}').duplicateFields, ['a'])
})

test('manifests mean what they always did', () => {
  const { value } = decodeYaml(
    'on: yes\nmode: 0644\nnull: ~\nversion: "1.10"\n1: 1.5\nbase: &b {x: 1}\nmerged: {<<: *b, y: off}\n',
  )
  assert.deepEqual(value, {
    on: true,
    mode: 420,
    null: null,
    version: '1.10',
    1: 1.5,
    base: { x: 1 },
    merged: { x: 1, y: false },
  })
})

test('what cannot be read is refused with 400', () => {
  refused(() => decodeJson('{"a":'), /^unexpected end of JSON input$/)
  refused(() => decodeJson(new Uint8Array([0xff])), /UTF-8/)
  refused(() => decodeYaml('a: [1'), /error converting YAML to JSON/)
  refused(() => decodeYaml('a: 1\n---\nb: 2\n'), /more than one/)
  const deep = `${'['.repeat(MAX_DEPTH + 1)}${']'.repeat(MAX_DEPTH + 1)}`
  refused(() => decodeJson(deep), /nested deeper/)
  const keyed = `${'{"\\n":'.repeat(200_000)}1${'}'.repeat(200_000)}`
  refused(() => decodeJson(keyed), /nested deeper/)
  refused(() => decodeYaml(`{"a":${deep}}`), /nested deeper/)
  refused(() => decodeYaml(deep), /error converting YAML|nested deeper/)
  const bomb = ['a: &a [x,x,x,x,x,x,x,x,x]']
  for (const [name, of] of ['ba', 'cb', 'dc', 'ed', 'fe'])
    bomb.push(`${name}: &${name} [${Array.from({ length: 9 }, () => `*${of}`).join(',')}]`)
  refused(() => decodeYaml(bomb.join('\n')), /alias/)
})

test('hostile YAML is refused at its first mistake, or when it has too many parts', () => {
  for (const part of ['[', '- ', '? ', '&a ', '!t ', ']', '---\n', '*a ', '"a" ', '[ ]', '{', ': '])
    refused(() => decodeYaml(part.repeat(20_000)), /YAML|nested/)
  refused(() => decodeYaml('a:\n'.repeat(1_000_000)), /parts of YAML/)
  refused(() => decodeYaml(`${'['.repeat(1001)}${']'.repeat(1001)}`), /nested deeper/)
})

test('a manifest of 2 MB is read', () => {
  const item = { kind: 'Pod', metadata: { name: 'web', labels: { app: 'web', of: 'shop' } } }
  const items = Array.from({ length: 30_000 }, () => structuredClone(item))
  const yaml = stringify({ kind: 'List', items })
  assert.ok(yaml.length > 2_000_000)
  assert.deepEqual(decodeYaml(yaml).value, { kind: 'List', items })
})

test('a mistake is told with its line', () => {
  refused(() => decodeYaml('a: 1\nb: {\nc: 2\n'), /yaml: line [34]: /)
})

test('nothing but an empty body is no value', () => {
  assert.equal(decodeYaml('').value, null)
  assert.equal(decodeYaml('# only words\n').value, null)
})

test('any JSON is read alike by both readers', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), fc.constantFrom(0, 2), (given, indent) => {
      const text = JSON.stringify(given, undefined, indent)
      const wanted = parseJson(text)
      const { value, duplicateFields } = decodeJson(text, { duplicates: true })
      assert.deepEqual(value, wanted)
      assert.deepEqual(duplicateFields, [])
      assert.deepEqual(decodeYaml(new TextEncoder().encode(text)).value, wanted)
    }),
  )
})

test('objects written as YAML are read back', () => {
  const text = fc.string({ unit: fc.constantFrom('a', ':', ' ', '-', '#', '"', 'é', '0') })
  fc.assert(
    fc.property(fc.dictionary(text, text, { noNullPrototype: true }), (given) => {
      const yaml = stringify(given, { version: '1.1' })
      assert.deepEqual(decodeYaml(yaml).value, Object.keys(given).length === 0 ? {} : given)
    }),
  )
})

test('text that is no JSON is told of as by Go', () => {
  for (const [text, why] of [
    ['', 'unexpected end of JSON input'],
    ['{"a', 'unexpected end of JSON input'],
    ['x', "invalid character 'x' looking for beginning of value"],
    ['{a:1}', "invalid character 'a' looking for beginning of object key string"],
    ['{"a" 1}', "invalid character '1' after object key"],
    ['{"a":1 "b":2}', "invalid character '\"' after object key:value pair"],
    ['[1 2]', "invalid character '2' after array element"],
    ['{} x', "invalid character 'x' after top-level value"],
    ['"\n"', "invalid character '\\n' in string literal"],
    ['"\\q"', "invalid character 'q' in string escape code"],
    ['1.x', "invalid character 'x' after decimal point in numeric literal"],
    ['tru!', "invalid character '!' in literal true (expecting 'e')"],
    ['[tr', "invalid character ' ' in literal true (expecting 'u')"],
    ['1e', "invalid character ' ' in exponent of numeric literal"],
    ['"\\', "invalid character ' ' in string escape code"],
    ['\u0001', "invalid character '\\x01' looking for beginning of value"],
    ['é', "invalid character 'Ã' looking for beginning of value"],
  ] as const)
    refused(() => decodeJson(text), new RegExp(`^${why.replaceAll(/[\\()[\]{}.]/g, '\\$&')}$`))
})
