import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseJson } from './integers.ts'
import { applyJsonPatch } from './patch/json.ts'
import { decodeJson, decodeYaml } from './json.ts'

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })

test('an integer keeps all digits that an int64 has, and no more', () => {
  assert.deepEqual(parseJson('[9007199254740991,9007199254740992,-9007199254740993]'), [
    9007199254740991,
    9007199254740992n,
    -9007199254740993n,
  ])
  assert.deepEqual(parseJson('[9223372036854775807,9223372036854775808]'), [
    9223372036854775807n,
    9223372036854775808,
  ])
  assert.deepEqual(parseJson('{"a":9007199254740993.0,"b":9007199254740993e0}'), {
    a: 9007199254740992,
    b: 9007199254740992,
  })
  assert.deepEqual(parseJson('["9007199254740993","a:9007199254740993,"]'), [
    '9007199254740993',
    'a:9007199254740993,',
  ])
})

test('integers of any size are written as they were read, wherever they stand', () => {
  const tree = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      int64,
      fc.string(),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie('value')),
      fc.dictionary(fc.string(), tie('value')),
    ),
  })).value
  fc.assert(
    fc.property(tree, fc.constantFrom(undefined, 1, 4), (value, indent) => {
      const text = JSON.stringify(value, undefined, indent)
      assert.equal(JSON.stringify(parseJson(text), undefined, indent), text)
      assert.equal(
        JSON.stringify(decodeJson(text, { duplicates: true }).value, undefined, indent),
        text,
      )
    }),
  )
})

test('other numbers are what JSON.parse makes of them', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ noNaN: true, noDefaultInfinity: true })), (numbers) => {
      const text = JSON.stringify(numbers)
      assert.equal(JSON.stringify(parseJson(text)), text)
    }),
  )
})

test('YAML keeps them too', () => {
  fc.assert(
    fc.property(int64, (value) => {
      const { value: read } = decodeYaml(`a: ${value}\nb: [${value}]\n${value}: 1\n`)
      assert.equal(JSON.stringify(read), JSON.stringify({ a: value, b: [value], [`${value}`]: 1 }))
    }),
  )
  assert.deepEqual(decodeYaml('a: 5\nb: 99999999999999999999\nc: 0x10').value, {
    a: 5,
    b: 1e20,
    c: 16,
  })
})

test('a patch tells neighbours apart', () => {
  const object = parseJson('{"a":9007199254740993}')
  const patch = (value: string): unknown =>
    applyJsonPatch(object, [
      { op: 'test', path: '/a', value: parseJson(value) },
      { op: 'copy', from: '/a', path: '/b' },
    ])
  assert.equal(
    JSON.stringify(patch('9007199254740993')),
    '{"a":9007199254740993,"b":9007199254740993}',
  )
  assert.throws(() => patch('9007199254740992'), /testing value \/a failed/)
})

test('a long text of digits is read as quickly as any other, and integers after it exactly', () => {
  const digits = '7'.repeat(2_000_000)
  for (let space = 0; space < 20; space++) {
    const text = `{"a":"${space === 0 ? digits : '7'.repeat(40 + space)}",${' '.repeat(space)}"b":9007199254740993}`
    assert.equal((parseJson(text) as { b: unknown }).b, 9007199254740993n)
  }
})
