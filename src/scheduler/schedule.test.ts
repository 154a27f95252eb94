import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { PodSpec } from '#api'
import { seededRandom } from '#base'
import { createScheduler } from './class-cache.ts'
import { affine, info, node, noVolumes, pod, reason, setting, term, ZONE } from './fixtures.ts'
import { createFramework } from './framework-run.ts'
import { defaultPlugins } from './plugins/index.ts'
import type { PodInfo } from './pod-info.ts'
import { feasibleEnough } from './schedule.ts'

describe('resources', () => {
  test('a pod goes where there is room', () => {
    const busy = pod('busy', { on: 'n1', requests: { cpu: '3500m' } })
    assert.equal(
      setting([node('n1'), node('n2')], [busy]).choose(info('a', { requests: { cpu: '1' } })),
      'n2',
    )
  })

  test('reasons count nodes by what they lack', () => {
    const nodes = [
      node('n1'),
      node('n2', { allocatable: { memory: '1Gi' } }),
      node('n3', { taints: [{ key: 'dedicated', value: 'db', effect: 'NoSchedule' }] }),
    ]
    assert.equal(
      reason(setting(nodes), info('a', { requests: { cpu: '8', memory: '2Gi' } })),
      '0/3 nodes are available: 1 Insufficient memory, 1 node(s) had untolerated taint(s), 2 Insufficient cpu.',
    )
  })

  test('without nodes there is nothing to count', () => {
    assert.equal(reason(setting([]), info('a')), 'no nodes available to schedule pods')
  })

  test('extended resources and the number of pods are counted too', () => {
    const full = setting([node('n1', { allocatable: { pods: '1' } })], [pod('x', { on: 'n1' })])
    assert.equal(reason(full, info('a')), '0/1 nodes are available: 1 Too many pods.')
    const gpu = setting([node('n1', { allocatable: { 'example.com/gpu': '2' } })])
    assert.equal(gpu.choose(info('a', { requests: { 'example.com/gpu': '2' } })), 'n1')
    assert.equal(
      reason(gpu, info('a', { requests: { 'example.com/gpu': '3' } })),
      '0/1 nodes are available: 1 Insufficient example.com/gpu.',
    )
  })

  test('init containers count for themselves, sidecars with all others, overhead always', () => {
    const asks = (cpu: string, more = {}) => ({
      name: `c${cpu}`,
      resources: { requests: { cpu } },
      ...more,
    })
    const { requests } = info('a', {
      spec: {
        containers: [asks('100m'), asks('200m')],
        initContainers: [asks('150m'), asks('50m', { restartPolicy: 'Always' }), asks('400m')],
        overhead: { cpu: '10m' },
      } as Partial<PodSpec>,
    })
    // The last init container runs beside the sidecar: 400m + 50m, more than 100m + 200m + 50m.
    assert.equal(requests['cpu'], 460)
  })

  test('emptier nodes and balanced use are preferred', () => {
    const asks = { requests: { cpu: '500m', memory: '1Gi' } }
    const busy = pod('busy', { on: 'n1', ...asks })
    assert.equal(setting([node('n1'), node('n2')], [busy]).choose(info('a', asks)), 'n2')
    const nodes = [node('n1'), node('n2')]
    const uneven = [
      pod('x', { on: 'n1', requests: { cpu: '2', memory: '1Gi' } }),
      pod('y', { on: 'n2', requests: { cpu: '1', memory: '3Gi' } }),
    ]
    assert.equal(
      setting(nodes, uneven).choose(info('a', { requests: { cpu: '1', memory: '100Mi' } })),
      'n2',
    )
  })
})

describe('nodes', () => {
  test('cordoned nodes take only pods that tolerate it', () => {
    const cordoned = setting([node('n1', { unschedulable: true })])
    assert.equal(
      reason(cordoned, info('a')),
      '0/1 nodes are available: 1 node(s) were unschedulable.',
    )
    const tolerant = info('a', {
      spec: { tolerations: [{ key: 'node.kubernetes.io/unschedulable', operator: 'Exists' }] },
    })
    assert.equal(cordoned.choose(tolerant), 'n1')
  })

  test('tolerations match by key, value and effect', () => {
    const nodes = setting([node('n1', { taints: [{ key: 'k', value: 'v', effect: 'NoExecute' }] })])
    const withToleration = (toleration: NonNullable<PodSpec['tolerations']>[number]) =>
      nodes.choose(info('a', { spec: { tolerations: [toleration] } }))
    assert.equal(withToleration({ key: 'k', value: 'v' }), 'n1')
    assert.equal(withToleration({ key: 'k', operator: 'Exists', effect: 'NoExecute' }), 'n1')
    assert.equal(withToleration({ operator: 'Exists' }), 'n1')
    assert.equal(withToleration({ key: 'k', value: 'w' }), undefined)
    assert.equal(withToleration({ key: 'k', operator: 'Exists', effect: 'NoSchedule' }), undefined)
  })

  test('nodes with fewer soft taints are preferred', () => {
    const soft = (key: string) => ({ key, effect: 'PreferNoSchedule' }) as const
    const nodes = [
      node('n1', { taints: [soft('a'), soft('b')] }),
      node('n2', { taints: [soft('a')] }),
    ]
    assert.equal(setting(nodes).choose(info('a')), 'n2')
  })

  test('node selectors and affinity narrow the choice', () => {
    const nodes = setting([
      node('n1', { labels: { disk: 'hdd', size: '5' } }),
      node('n2', { labels: { disk: 'ssd', size: '20' } }),
    ])
    assert.equal(nodes.choose(info('a', { spec: { nodeSelector: { disk: 'ssd' } } })), 'n2')
    assert.equal(
      reason(nodes, info('a', { spec: { nodeSelector: { disk: 'tape' } } })),
      "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
    )
    const required = (matchExpressions: readonly object[], matchFields?: readonly object[]) =>
      info('a', {
        spec: {
          affinity: {
            nodeAffinity: {
              requiredDuringSchedulingIgnoredDuringExecution: {
                nodeSelectorTerms: [{ matchExpressions, ...(matchFields && { matchFields }) }],
              },
            },
          },
        } as Partial<PodSpec>,
      })
    assert.equal(nodes.choose(required([{ key: 'size', operator: 'Gt', values: ['10'] }])), 'n2')
    assert.equal(
      nodes.choose(required([{ key: 'disk', operator: 'NotIn', values: ['ssd'] }])),
      'n1',
    )
    const byName = required([], [{ key: 'metadata.name', operator: 'In', values: ['n2'] }])
    assert.equal(nodes.choose(byName), 'n2')
    const gone = required([], [{ key: 'metadata.name', operator: 'In', values: ['n9'] }])
    assert.equal(
      reason(nodes, gone),
      "0/2 nodes are available: 2 node(s) didn't satisfy plugin(s) [NodeAffinity].",
    )
  })

  test('preferred node affinity wins over nothing', () => {
    const preferred = info('a', {
      spec: {
        affinity: {
          nodeAffinity: {
            preferredDuringSchedulingIgnoredDuringExecution: [
              {
                weight: 10,
                preference: { matchExpressions: [{ key: 'disk', operator: 'Exists' }] },
              },
            ],
          },
        },
      },
    })
    assert.equal(
      setting([node('n1'), node('n2', { labels: { disk: 'ssd' } })]).choose(preferred),
      'n2',
    )
  })

  test('host ports conflict by address and protocol', () => {
    const withPort = (
      name: string,
      hostIP: string | undefined,
      protocol: 'TCP' | 'UDP',
      on?: string,
    ) =>
      pod(name, {
        ...(on !== undefined && { on }),
        spec: {
          containers: [
            {
              name: 'c',
              ports: [
                {
                  containerPort: 80,
                  hostPort: 80,
                  protocol,
                  ...(hostIP !== undefined && { hostIP }),
                },
              ],
            },
          ],
        },
      })
    const placed = setting([node('n1')], [withPort('x', '127.0.0.1', 'TCP', 'n1')])
    const choose = (ip: string | undefined, protocol: 'TCP' | 'UDP') => {
      const { metadata, spec } = withPort('y', ip, protocol)
      return placed.choose(info(metadata.name, { spec }))
    }
    assert.equal(choose('127.0.0.2', 'TCP'), 'n1')
    assert.equal(choose('127.0.0.1', 'UDP'), 'n1')
    assert.equal(choose('127.0.0.1', 'TCP'), undefined)
    assert.equal(choose(undefined, 'TCP'), undefined)
  })

  test('nodes that have the image are preferred', () => {
    const images = [{ names: ['registry/big:2'], sizeBytes: 900 * 1024 * 1024 }]
    const spec = { containers: [{ name: 'c', image: 'registry/big:2' }] }
    assert.equal(
      setting([node('n1'), node('n2', { images }), node('n3')]).choose(info('a', { spec })),
      'n2',
    )
  })
})

test('the share of nodes that is looked at shrinks as the cluster grows', () => {
  assert.deepEqual(
    [10, 99, 100, 500, 1000, 5000, 10_000].map(feasibleEnough),
    [10, 99, 100, 230, 420, 500, 500],
  )
})

const sizes = ['100m', '500m', '1', '2', '3']
const anyPod = fc.record({
  cpu: fc.constantFrom(...sizes),
  memory: fc.constantFrom('100Mi', '1Gi', '3Gi'),
  port: fc.option(fc.constantFrom(80, 443), { nil: undefined, freq: 4 }),
  app: fc.constantFrom('web', 'db'),
  anti: fc.boolean(),
  remove: fc.boolean(),
})

for (const isCached of [false, true])
  test(`no node is ever given more than it has${isCached ? ', when classes of pods are kept' : ''}`, () => {
    fc.assert(
      fc.property(
        fc.array(anyPod, { maxLength: 60 }),
        fc.integer({ min: 1, max: 5 }),
        (asked, nodeCount) => {
          const nodes = Array.from({ length: nodeCount }, (_, at) =>
            node(`n${at}`, {
              allocatable: { pods: '12' },
              labels: { [ZONE]: at % 2 === 0 ? 'a' : 'b' },
            }),
          )
          const { snapshot, framework, decide } = setting(nodes)
          const cached = createScheduler({ snapshot, framework, random: seededRandom(1) })
          const placed: PodInfo[] = []
          for (const [at, { cpu, memory, port, app, anti, remove }] of asked.entries()) {
            const next = info(`p${at}`, {
              labels: { app },
              spec: {
                ...(anti ? affine('podAntiAffinity', term(app)) : {}),
                containers: [
                  {
                    name: 'c',
                    resources: { requests: { cpu, memory } },
                    ...(port !== undefined && { ports: [{ containerPort: port, hostPort: port }] }),
                  },
                ],
              },
            })
            const decision = isCached ? cached.schedule(next) : decide(next)
            if (decision.node === undefined) {
              // It is refused only where no node would take it.
              const { filter } = framework.prepareFilters(next, snapshot)
              assert.ok(snapshot.nodes.every((each) => filter(each).code !== 'success'))
            } else {
              snapshot.place(next, decision.node.name)
              placed.push(next)
            }
            const [first] = placed
            if (remove && first !== undefined) {
              placed.shift()
              snapshot.remove(first.uid)
            }
          }
          for (const { requested, allocatable, pods } of snapshot.nodes) {
            assert.ok((requested['cpu'] ?? 0) <= (allocatable['cpu'] ?? 0))
            assert.ok((requested['memory'] ?? 0) <= (allocatable['memory'] ?? 0))
            assert.ok(pods.size <= 12)
            const ports = [...pods.values()].flatMap(({ hostPorts }) =>
              hostPorts.map(({ port }) => port),
            )
            assert.equal(new Set(ports).size, ports.length)
            for (const one of pods.values())
              for (const { matches } of one.requiredAntiAffinity)
                for (const other of pods.values())
                  assert.ok(one === other || !matches(other, () => ({})), 'anti-affinity is broken')
          }
        },
      ),
      { numRuns: 60 },
    )
  })

test('counts that are kept up to date are those of counting anew', () => {
  const step = fc.record({
    uid: fc.nat(8),
    on: fc.nat(3),
    app: fc.constantFrom('web', 'db'),
    what: fc.constantFrom('place', 'remove', 'relabel', 'try'),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const zone = (at: number, value: string) => node(`n${at}`, { labels: { [ZONE]: value } })
      const { snapshot } = setting([0, 1, 2, 3].map((at) => zone(at, at % 2 === 0 ? 'a' : 'b')))
      const web = affine('podAffinity', term('web', ZONE))
      const [wanted] = info('x', { spec: web }).requiredAffinity
      assert.ok(wanted)
      snapshot.countTerm(wanted).domains(ZONE)
      for (const { uid, on, app, what } of steps) {
        const each = info(`p${uid}`, { labels: { app }, spec: web })
        if (what === 'place') snapshot.place(each, `n${on}`)
        else if (what === 'remove') snapshot.remove(each.uid)
        else if (what === 'relabel') snapshot.setNode(zone(on, app))
        else {
          const at = snapshot.node(`n${on}`)
          if (at !== undefined)
            snapshot.without([...at.pods.values()], at, () => snapshot.countTerm(wanted).total)
        }
      }
      const fresh = new Map<string, number>()
      const owners = new Map<string, number>()
      for (const { pods, labels } of snapshot.nodes)
        for (const { labels: of } of pods.values()) {
          const domain = labels[ZONE] ?? ''
          if (of['app'] === 'web') fresh.set(domain, (fresh.get(domain) ?? 0) + 1)
          owners.set(domain, (owners.get(domain) ?? 0) + 1)
        }
      assert.deepEqual(new Map(snapshot.countTerm(wanted).domains(ZONE)), fresh)
      const [owned] = snapshot.owned('requiredAffinity')
      assert.deepEqual(new Map(owned?.owners.domains(ZONE) ?? []), owners)
    }),
    { numRuns: 200 },
  )
})

test('plugins of others take part', () => {
  const plugins = [
    ...defaultPlugins(noVolumes),
    {
      name: 'Mine',
      filter: (_: PodInfo, { name }: { name: string }) =>
        ({ code: name === 'n2' ? 'success' : 'unschedulable', reasons: ['not mine'] }) as const,
    },
  ]
  const cluster = setting([node('n1'), node('n2'), node('n3')], [], { plugins })
  assert.equal(cluster.choose(info('a')), 'n2')
  assert.ok(createFramework(plugins).mayHelp(info('a'), new Set(['Unknown']), { name: 'volume' }))
})
