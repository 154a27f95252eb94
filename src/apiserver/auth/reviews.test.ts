import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Attributes } from '../access.ts'
import type { Exchange } from '../exchange.ts'
import { reviews } from './reviews.ts'

async function asked(resourceAttributes: object): Promise<Partial<Attributes>> {
  const seen: Attributes[] = []
  const review = reviews({
    audiences: [],
    clock: { now: () => new Date(0) },
    tokens: { authenticateToken: async () => undefined },
    authorizer: {
      async authorize(attributes) {
        seen.push(attributes)
        return { verdict: 'noOpinion', reason: '' }
      },
    },
  })['subjectaccessreviews.authorization.k8s.io']
  await review?.(
    {} as Exchange,
    {
      spec: {
        user: 'jane',
        resourceAttributes: { verb: 'list', resource: 'pods', ...resourceAttributes },
      },
    } as never,
  )
  const [first] = seen
  return first ?? {}
}

test('selectors of a review are those of the request that it is about', async () => {
  const { fieldSelector, labelSelector } = await asked({
    fieldSelector: { requirements: [{ key: 'spec.nodeName', operator: 'In', values: ['n1'] }] },
    labelSelector: {
      requirements: [
        { key: 'app', operator: 'In', values: ['a', 'b'] },
        { key: 'old', operator: 'DoesNotExist' },
      ],
    },
  })
  assert.equal(fieldSelector, 'spec.nodeName=n1')
  assert.equal(labelSelector, 'app in (a,b),!old')
})

test('a requirement that cannot be said does not make the question smaller', async () => {
  const { fieldSelector } = await asked({
    fieldSelector: {
      requirements: [{ key: 'spec.nodeName', operator: 'In', values: ['n1', 'n2'] }],
    },
  })
  assert.equal(fieldSelector, undefined)
})
