import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { unifiedDiff } from './line-diff.ts'

const numbered = (count: number, change: Readonly<Record<number, string>> = {}): string =>
  Array.from({ length: count }, (_, i) => change[i] ?? `line ${i}`).join('\n')

test('a change stands between three lines of what is around it', () => {
  assert.equal(unifiedDiff(numbered(9), numbered(9)), '')
  assert.equal(
    unifiedDiff(numbered(9), numbered(9, { 4: 'other' })),
    '@@ -2,7 +2,7 @@\n line 1\n line 2\n line 3\n-line 4\n+other\n line 5\n line 6\n line 7\n',
  )
  assert.equal(unifiedDiff('a', 'b'), '@@ -1 +1 @@\n-a\n+b\n')
})

test('changes that are far from each other stand apart', () => {
  const text = unifiedDiff(numbered(30), numbered(30, { 2: 'x', 25: 'y' }))
  assert.deepEqual(text.match(/^@@.*@@$/gm), ['@@ -1,6 +1,6 @@', '@@ -23,7 +23,7 @@'])
  const near = unifiedDiff(numbered(30), numbered(30, { 2: 'x', 8: 'y' }))
  assert.deepEqual(near.match(/^@@.*@@$/gm), ['@@ -1,12 +1,12 @@'])
})

test('what a difference says makes the one text of the other', () => {
  const lines = fc.array(fc.constantFrom('a', 'b', 'c', '{', '}'), { minLength: 1, maxLength: 300 })
  fc.assert(
    fc.property(lines, lines, (before, after) => {
      const result: string[] = []
      let at = 0
      for (const line of unifiedDiff(before.join('\n'), after.join('\n')).split('\n')) {
        const header = /^@@ -(\d+)(?:,(\d+))? /.exec(line)
        if (header) {
          const start = Number(header[1]) - (header[2] === '0' ? 0 : 1)
          result.push(...before.slice(at, start))
          at = start
        } else if (line.startsWith('+')) result.push(line.slice(1))
        else if (line !== '') {
          assert.equal(line.slice(1), before[at])
          if (line.startsWith(' ')) result.push(line.slice(1))
          at++
        }
      }
      assert.deepEqual([...result, ...before.slice(at)], after)
    }),
  )
})
