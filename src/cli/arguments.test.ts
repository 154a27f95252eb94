import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  editDistance,
  nearest,
  parseArguments,
  reachableAddress,
  unknown,
  wholeNumber,
} from './arguments.ts'

const specs = [
  { name: 'port', value: 'PORT', summary: '' },
  { name: 'foreground', short: 'f', summary: '' },
  { name: 'registry-mirror', value: 'URL', repeat: true, summary: '' },
] as const

test('flags, values and operands are told apart', () => {
  const parsed = parseArguments(
    ['load', '--port=1', '-f', '--registry-mirror', 'a', '--registry-mirror=b', '--', '--x'],
    specs,
  )
  assert.deepEqual([...parsed.flags], ['foreground'])
  assert.deepEqual(
    [...parsed.values],
    [
      ['port', ['1']],
      ['registry-mirror', ['a', 'b']],
    ],
  )
  assert.deepEqual(parsed.operands, ['load', '--x'])
})

test('a mistyped flag is answered with the nearest one', () => {
  assert.throws(
    () => parseArguments(['--prot', '1'], specs),
    /Unknown flag --prot; did you mean --port\?/,
  )
  assert.throws(
    () => parseArguments(['--zzzzzzzz'], specs),
    /^UsageError: Unknown flag --zzzzzzzz$/,
  )
  assert.throws(() => parseArguments(['--port'], specs), /needs a value: --port PORT/)
  assert.throws(() => parseArguments(['--port=1', '--port=2'], specs), /given twice/)
  assert.equal(
    unknown('command', 'stauts', ['status', 'up']),
    'Unknown command stauts; did you mean status?',
  )
})

test('an address for others is one that others reach', () => {
  assert.equal(reachableAddress('advertise-address', '10.0.0.1'), '10.0.0.1')
  for (const text of ['127.0.0.1', '0.0.0.0', '169.254.1.1', '224.0.0.1', '255.255.255.255'])
    assert.throws(() => reachableAddress('advertise-address', text), /cannot reach this machine/)
  for (const text of ['', 'here', '10.0.0', '10.0.0.1.', '10.0.0.256', '::1'])
    assert.throws(() => reachableAddress('advertise-address', text), /must be an IPv4 address/)
})

test('a number out of bounds names the flag and the bounds', () => {
  assert.throws(
    () => wholeNumber('port', '70000', { min: 1, max: 65535 }),
    /--port must be a whole number from 1 to 65535/,
  )
  assert.equal(wholeNumber('port', '6443', { min: 1, max: 65535 }), 6443)
})

test('the edit distance is a metric on short words', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 6 }), fc.string({ maxLength: 6 }), (a, b) => {
      assert.equal(editDistance(a, b), editDistance(b, a))
      assert.equal(editDistance(a, b) === 0, a === b)
    }),
  )
  assert.equal(nearest('up', ['up', 'down']), 'up')
})
