import assert from 'node:assert/strict'
import { test } from 'node:test'
import { warningHeaders } from './warnings.ts'

const decoded = (header: string): string => Buffer.from(header, 'latin1').toString('utf8')

test('a warning is said once, in any language, and without what a header cannot carry', () => {
  const headers = warningHeaders(['unknown field "日本"', 'a\nb', 'unknown field "日本"', ''])
  assert.deepEqual(headers.map(decoded), ['299 - "unknown field \\"日本\\""', '299 - "a b"'])
  assert.ok(headers.every((header) => /^[\x20-\xff]*$/.test(header)))
})

test('many warnings are cut, and then they end', () => {
  const [first = ''] = warningHeaders(['x'.repeat(4096)])
  assert.equal(first.length, 4096 + '299 - ""'.length)
  const cut = warningHeaders([
    'long '.repeat(900),
    ...Array.from({ length: 5000 }, (_, i) => `w${i}`),
  ])
  assert.equal(cut[0]?.length, 256 + '299 - ""'.length)
  assert.ok(cut.length > 500 && cut.join('').length < 20_000, String(cut.length))
})
