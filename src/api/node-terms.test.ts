import assert from 'node:assert/strict'
import { test } from 'node:test'
import { allowsNode, matchesNodeTerm } from './node-terms.ts'
import type { NodeSelectorRequirement } from './types.gen.ts'

const node = { metadata: { name: 'n1', labels: { disk: 'ssd', cores: '8' } } }
type Operator = NodeSelectorRequirement['operator']
const term = (key: string, operator: Operator, ...values: readonly string[]) => ({
  matchExpressions: [{ key, operator, values }],
})
const fits = (...asked: Parameters<typeof term>): boolean => matchesNodeTerm(term(...asked), node)

test('a term asks for labels by every operator', () => {
  assert.ok(fits('disk', 'In', 'hdd', 'ssd') && !fits('disk', 'In', 'hdd'))
  assert.ok(fits('gpu', 'NotIn', 'a') && !fits('disk', 'NotIn', 'ssd'))
  assert.ok(fits('disk', 'Exists') && !fits('gpu', 'Exists'))
  assert.ok(fits('gpu', 'DoesNotExist') && !fits('disk', 'DoesNotExist'))
  assert.ok(fits('cores', 'Gt', '4') && !fits('cores', 'Gt', '8'))
  assert.ok(fits('cores', 'Lt', '9') && !fits('disk', 'Lt', '9'))
})

test('a term of nothing is for no node, and a field is its name alone', () => {
  assert.ok(!matchesNodeTerm({}, node))
  const named = (name: string) => ({
    matchFields: [{ key: 'metadata.name', operator: 'In' as const, values: [name] }],
  })
  assert.ok(matchesNodeTerm(named('n1'), node) && !matchesNodeTerm(named('n2'), node))
  assert.ok(!matchesNodeTerm({ ...named('n1'), ...term('gpu', 'Exists') }, node))
})

test('one of the terms is enough, and the node selector holds besides', () => {
  const affinity = (...nodeSelectorTerms: readonly ReturnType<typeof term>[]) => ({
    nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms } },
  })
  assert.ok(allowsNode({}, node))
  assert.ok(allowsNode({ affinity: affinity(term('gpu', 'Exists'), term('disk', 'Exists')) }, node))
  assert.ok(!allowsNode({ affinity: affinity() }, node))
  assert.ok(!allowsNode({ nodeSelector: { disk: 'hdd' } }, node))
})
