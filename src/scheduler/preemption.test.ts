import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Pod, PodDisruptionBudget } from '#api'
import { info, node, pod, setting, type PodOptions } from './fixtures.ts'
import { describeFailure } from './messages.ts'
import { preempt } from './preemption.ts'

const asks = (cpu: string, more: PodOptions = {}): PodOptions => ({ requests: { cpu }, ...more })

function run(
  nodes: Parameters<typeof setting>[0],
  placed: readonly Pod[],
  preemptor: Parameters<typeof info>[1],
  budgets: readonly PodDisruptionBudget[] = [],
) {
  const { snapshot, framework, decide } = setting(nodes, placed)
  const each = info('vip', preemptor)
  const before = snapshot.nodes.map(({ requested, pods }) => [
    { ...requested },
    [...pods.keys()].toSorted(),
  ])
  const decision = decide(each)
  assert.ok('diagnosis' in decision)
  const result = preempt(each, decision.diagnosis, { snapshot, framework, budgets, offset: 0 })
  const after = snapshot.nodes.map(({ requested, pods }) => [
    { ...requested },
    [...pods.keys()].toSorted(),
  ])
  assert.deepEqual(after, before, 'what was tried was not taken back')
  return result.node === undefined
    ? { node: undefined, victims: [], message: describeFailure(decision.diagnosis, result.message) }
    : {
        node: result.node.name,
        victims: result.victims.map(({ pod: { metadata } }) => metadata.name),
        message: '',
      }
}

const budget = (app: string, disruptionsAllowed: number): PodDisruptionBudget =>
  ({
    metadata: { name: app, namespace: 'shop' },
    spec: { selector: { matchLabels: { app } } },
    status: { disruptionsAllowed, currentHealthy: 1, desiredHealthy: 1, expectedPods: 1 },
  }) as unknown as PodDisruptionBudget

test('room is made by the fewest and least important pods', () => {
  const placed = [
    pod('low', asks('1', { on: 'n1', priority: 1 })),
    pod('lower', asks('1', { on: 'n1', priority: 0 })),
    pod('high', asks('2', { on: 'n1', priority: 100 })),
  ]
  assert.deepEqual(run([node('n1')], placed, asks('1', { priority: 10 })).victims, ['lower'])
  assert.deepEqual(run([node('n1')], placed, asks('2', { priority: 10 })).victims, ['low', 'lower'])
})

test('without pods of lower priority the message says so, node by node', () => {
  const nodes = [
    node('n1'),
    node('n2', { taints: [{ key: 'k', effect: 'NoSchedule' }] }),
    node('n3', { allocatable: { cpu: '1' } }),
  ]
  const placed = [pod('high', asks('4', { on: 'n1', priority: 100 }))]
  assert.equal(
    run(nodes, placed, asks('2', { priority: 10 })).message,
    '0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. ' +
      'no new claims to deallocate, preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, ' +
      '2 Preemption is not helpful for scheduling.',
  )
})

test('a pod that must not preempt is told why', () => {
  const placed = [pod('low', asks('4', { on: 'n1', priority: 0 }))]
  assert.equal(
    run([node('n1')], placed, asks('2', { priority: 10, spec: { preemptionPolicy: 'Never' } }))
      .message,
    '0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never.',
  )
})

test('disruption budgets are spared where another choice is left', () => {
  const web = { labels: { app: 'web' } }
  const placed = [
    pod('web', asks('4', { on: 'n1', priority: 0, ...web })),
    pod('batch', asks('4', { on: 'n2', priority: 5 })),
  ]
  const nodes = [node('n1'), node('n2')]
  assert.equal(run(nodes, placed, asks('2', { priority: 10 })).node, 'n1')
  assert.equal(run(nodes, placed, asks('2', { priority: 10 }), [budget('web', 0)]).node, 'n2')
  assert.equal(run(nodes, placed, asks('2', { priority: 10 }), [budget('web', 1)]).node, 'n1')
  // Where there is no other choice, the budget does not help.
  const only = run([node('n1')], placed.slice(0, 1), asks('2', { priority: 10 }), [
    budget('web', 0),
  ])
  assert.deepEqual(only.victims, ['web'])
})

test('of equal choices the pods that started last go', () => {
  const placed = [
    pod('old', asks('4', { on: 'n1', priority: 0, startTime: '2026-01-01T00:00:00Z' })),
    pod('new', asks('4', { on: 'n2', priority: 0, startTime: '2026-02-01T00:00:00Z' })),
  ]
  assert.deepEqual(run([node('n1'), node('n2')], placed, asks('2', { priority: 10 })).victims, [
    'new',
  ])
})

test('anti-affinity is a reason to preempt as well', () => {
  const shy = {
    affinity: {
      podAntiAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [
          { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'web' } } },
        ],
      },
    },
  }
  const placed = [pod('shy', asks('1', { on: 'n1', priority: 0, spec: shy }))]
  const result = run([node('n1')], placed, asks('1', { priority: 10, labels: { app: 'web' } }))
  assert.deepEqual(result.victims, ['shy'])
})

const anyVictim = fc.record({
  cpu: fc.constantFrom('500m', '1', '2'),
  priority: fc.constantFrom(0, 1, 5, 50),
  on: fc.constantFrom('n0', 'n1', 'n2'),
  app: fc.constantFrom('web', 'db'),
})

test('preemption only takes what is less important, and no more than is needed', () => {
  fc.assert(
    fc.property(
      fc.array(anyVictim, { maxLength: 24 }),
      fc.constantFrom('1', '2', '4'),
      (there, cpu) => {
        const nodes = ['n0', 'n1', 'n2'].map((name) => node(name))
        const placed = there.map(({ cpu: used, priority, on, app }, at) =>
          pod(`p${at}`, asks(used, { priority, on, labels: { app } })),
        )
        const { snapshot, framework, decide } = setting(nodes, placed)
        const each = info('vip', asks(cpu, { priority: 10 }))
        const decision = decide(each)
        if (!('diagnosis' in decision)) return
        const context = { snapshot, framework, budgets: [budget('web', 1)], offset: 0 }
        const { node: chosen, ...rest } = preempt(each, decision.diagnosis, context)
        const fitsWithout = (name: string, gone: readonly string[]) => {
          const at = snapshot.node(name)
          assert.ok(at)
          const victims = [...at.pods.values()].filter(({ uid }) => gone.includes(uid))
          return snapshot.without(victims, at, () => {
            const { filter } = framework.prepareFilters(each, snapshot)
            return filter(at).code === 'success'
          })
        }
        if (chosen === undefined) {
          for (const { name, pods } of snapshot.nodes) {
            const lower = [...pods.values()].filter(({ priority }) => priority < 10)
            assert.ok(
              !fitsWithout(
                name,
                lower.map(({ uid }) => uid),
              ),
            )
          }
          return
        }
        const victims = 'victims' in rest ? rest.victims : []
        const uids = victims.map(({ uid }) => uid)
        assert.ok(victims.length > 0 && victims.every(({ priority }) => priority < 10))
        assert.ok(fitsWithout(chosen.name, uids))
        for (const uid of uids)
          assert.ok(
            !fitsWithout(
              chosen.name,
              uids.filter((other) => other !== uid),
            ),
          )
      },
    ),
    { numRuns: 200 },
  )
})
