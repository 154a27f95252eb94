import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limitRanges, resourceQuotas } from '#api'
import { admit, message, pod, quota, world } from './admission.testing.ts'

test('limit ranges fill in and refuse', async () => {
  const made = world()
  made.read.put(limitRanges, {
    metadata: { name: 'l', namespace: 'shop' },
    spec: {
      limits: [
        {
          type: 'Container',
          default: { cpu: '500m' },
          defaultRequest: { cpu: '100m' },
          min: { cpu: '50m' },
          max: { cpu: '1' },
          maxLimitRequestRatio: { cpu: '10' },
        },
      ],
    },
  })
  const made1 = (await admit(made, pod())) as {
    metadata: { annotations: Record<string, string> }
    spec: { containers: { resources: object }[] }
  }
  assert.deepEqual(made1.spec.containers[0]!.resources, {
    requests: { cpu: '100m' },
    limits: { cpu: '500m' },
  })
  assert.equal(
    made1.metadata.annotations['kubernetes.io/limit-ranger'],
    'LimitRanger plugin set: cpu request for container c; cpu limit for container c',
  )
  const asking = (requests: string, limits: string) =>
    admit(
      made,
      pod({
        containers: [
          { name: 'c', resources: { requests: { cpu: requests }, limits: { cpu: limits } } },
        ],
      }),
    )
  await assert.rejects(
    asking('1', '2'),
    message('pods "web" is forbidden: maximum cpu usage per Container is 1, but limit is 2'),
  )
  await assert.rejects(
    asking('20m', '1'),
    message(
      'pods "web" is forbidden: [minimum cpu usage per Container is 50m, but request is 20m, cpu max limit to request ratio per Container is 10, but provided ratio is 50.000000]',
    ),
  )
})

test('a full quota refuses with what was asked, used and allowed', async () => {
  const made = world()
  made.read.put(
    resourceQuotas,
    quota({ pods: '2', 'requests.cpu': '1' }, { pods: '1', 'requests.cpu': '900m' }),
  )
  const asking = (cpu: string) =>
    admit(made, pod({ containers: [{ name: 'c', resources: { requests: { cpu } } }] }))
  await assert.rejects(
    asking('200m'),
    message(
      'pods "web" is forbidden: exceeded quota: q, requested: requests.cpu=200m, used: requests.cpu=900m, limited: requests.cpu=1',
    ),
  )
  await assert.rejects(
    admit(made, pod()),
    message('pods "web" is forbidden: failed quota: q: must specify requests.cpu for: c'),
  )
  await asking('100m')
  assert.deepEqual(made.read.get(resourceQuotas, 'shop', 'q')?.status?.used, {
    pods: '2',
    'requests.cpu': '1',
  })
  await assert.rejects(
    asking('1m'),
    message(/exceeded quota: q, requested: pods=1,requests.cpu=1m/),
  )
})

test('many at once never take more than there is, and share writes', async () => {
  let fails = 2
  const made = world({ fail: () => fails-- > 0 })
  made.read.put(resourceQuotas, quota({ 'count/configmaps': '7' }, { 'count/configmaps': '0' }))
  const results = await Promise.allSettled(
    Array.from({ length: 20 }, (_, i) =>
      admit(made, { metadata: { name: `c${i}` } }, { resource: 'configmaps' }),
    ),
  )
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 7)
  assert.equal(made.read.get(resourceQuotas, 'shop', 'q')?.status?.used?.['count/configmaps'], '7')
  assert.ok(made.writes.length < 7, String(made.writes.length))
})

test('whom one quota refuses, the others do not count', async () => {
  const made = world()
  made.read.put(resourceQuotas, quota({ pods: '10' }, { pods: '0' }))
  const small = quota({ pods: '1' }, { pods: '0' }, { scopes: ['BestEffort'] })
  made.read.put(resourceQuotas, { ...small, metadata: { name: 'small', namespace: 'shop' } })
  await admit(made, pod())
  for (let i = 0; i < 3; i++)
    await assert.rejects(admit(made, pod()), message(/exceeded quota: small/))
  assert.deepEqual(made.read.get(resourceQuotas, 'shop', 'q')?.status?.used, { pods: '1' })
})

test('a dry run is judged but not counted, and scopes choose what counts', async () => {
  const made = world()
  made.read.put(resourceQuotas, quota({ pods: '1' }, { pods: '0' }, { scopes: ['BestEffort'] }))
  await admit(made, pod(), { dryRun: true })
  assert.equal(made.writes.length, 0)
  await admit(made, pod({ containers: [{ name: 'c', resources: { requests: { cpu: '1' } } }] }))
  assert.equal(made.writes.length, 0)
  await admit(made, pod())
  await assert.rejects(admit(made, pod()), message(/exceeded quota/))
})

test('a quota whose usage is not known yet lets nothing in', async () => {
  const made = world()
  made.read.put(resourceQuotas, {
    metadata: { name: 'q', namespace: 'shop' },
    spec: { hard: { pods: '1' } },
  })
  await assert.rejects(
    admit(made, pod()),
    message('pods "web" is forbidden: status unknown for quota: q, resources: pods'),
  )
})
