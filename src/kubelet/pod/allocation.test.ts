import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { ResourceRequirements } from '#api'
import { amountOf } from '../amounts.ts'
import { pod } from '../testing/pods.ts'
import {
  askedFor,
  changedResources,
  largerOf,
  publishedAllocation,
  sameAllocation,
  withAllocation,
} from './allocation.ts'

const of = (resources: ResourceRequirements) => pod({ containers: [{ name: 'app', resources }] })
const quantities = fc.constantFrom('1', '500m', '2', '1500m', '3')
const anyResources: fc.Arbitrary<ResourceRequirements> = fc.record(
  {
    requests: fc.record({ cpu: quantities, memory: quantities }, { requiredKeys: [] }),
    limits: fc.record({ cpu: quantities, memory: quantities }, { requiredKeys: [] }),
  },
  { requiredKeys: [] },
)

test('equal amounts are equal however they are written', () => {
  assert.deepEqual(changedResources({ requests: { cpu: '1' } }, { requests: { cpu: '1000m' } }), [])
  assert.deepEqual(changedResources({ limits: { memory: '1Gi' } }, {}), ['memory'])
})

test('a pod with an allocation asks for just that', () => {
  fc.assert(
    fc.property(anyResources, anyResources, (spec, given) => {
      const allocation = askedFor(of(given))
      assert.ok(sameAllocation(askedFor(withAllocation(of(spec), allocation)), allocation))
    }),
  )
})

test('a pod that has what it asks for stays the same object', () => {
  const web = of({ requests: { cpu: '1' } })
  assert.equal(withAllocation(web, askedFor(of({ requests: { cpu: '1000m' } }))), web)
})

test('the larger of two allocations has room for both', () => {
  fc.assert(
    fc.property(anyResources, anyResources, (a, b) => {
      const most = largerOf(askedFor(of(a)), askedFor(of(b))).get('app')
      for (const each of [a, b]) {
        for (const name of ['cpu', 'memory']) {
          assert.ok(amountOf(most?.requests?.[name]) >= amountOf(each.requests?.[name]))
          const [limit, own] = [most?.limits?.[name], each.limits?.[name]]
          if (limit !== undefined) assert.ok(own !== undefined && amountOf(limit) >= amountOf(own))
        }
      }
    }),
  )
})

test('an earlier kubelet has published what it gave', () => {
  const base = of({ requests: { cpu: '2' }, limits: { cpu: '4' } })
  const web = {
    ...base,
    status: {
      containerStatuses: [
        {
          name: 'app',
          image: '',
          imageID: '',
          ready: true,
          restartCount: 0,
          allocatedResources: { cpu: '1' },
          resources: { requests: { cpu: '1' }, limits: { cpu: '3' } },
        },
      ],
    },
  }
  assert.deepEqual(publishedAllocation(web).get('app'), {
    requests: { cpu: '1' },
    limits: { cpu: '3' },
  })
  assert.deepEqual(publishedAllocation(base), askedFor(base))
})
