import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { PodSpec } from '#api'
import {
  affine,
  HOST,
  info,
  node,
  noVolumes,
  pod,
  reason,
  setting,
  term,
  ZONE,
} from './fixtures.ts'
import { defaultPlugins, type PluginContext } from './plugins/index.ts'

describe('affinity between pods', () => {
  const zones = [
    node('a1', { labels: { [ZONE]: 'a' } }),
    node('a2', { labels: { [ZONE]: 'a' } }),
    node('b1', { labels: { [ZONE]: 'b' } }),
  ]

  test('a pod follows the one it wants, within its topology', () => {
    const cluster = setting(zones, [pod('db', { on: 'b1', labels: { app: 'db' } })])
    assert.equal(
      cluster.choose(info('web', { spec: affine('podAffinity', term('db', ZONE)) })),
      'b1',
    )
    assert.equal(
      reason(cluster, info('web', { spec: affine('podAffinity', term('none', ZONE)) })),
      "0/3 nodes are available: 3 node(s) didn't match pod affinity rules.",
    )
  })

  test('the first of a group that wants its own kind may come', () => {
    const first = info('web', {
      labels: { app: 'web' },
      spec: affine('podAffinity', term('web', ZONE)),
    })
    assert.notEqual(setting(zones).choose(first), undefined)
  })

  test('a pod keeps away from those it does not want', () => {
    const placed = [pod('x', { on: 'a1', labels: { app: 'web' } })]
    const web = info('web', {
      labels: { app: 'web' },
      spec: affine('podAntiAffinity', term('web', ZONE)),
    })
    assert.equal(setting(zones, placed).choose(web), 'b1')
    const everywhere = [...placed, pod('y', { on: 'b1', labels: { app: 'web' } })]
    assert.equal(
      reason(setting(zones, everywhere), web),
      "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules.",
    )
  })

  test('those that are there may not want it either', () => {
    const shy = pod('shy', { on: 'a1', spec: affine('podAntiAffinity', term('web', ZONE)) })
    const web = info('web', { labels: { app: 'web' } })
    assert.equal(setting(zones, [shy]).choose(web), 'b1')
    const both = [
      shy,
      pod('shy2', { on: 'b1', spec: affine('podAntiAffinity', term('web', ZONE)) }),
    ]
    assert.equal(
      reason(setting(zones, both), web),
      "0/3 nodes are available: 3 node(s) didn't satisfy existing pods anti-affinity rules.",
    )
    assert.notEqual(
      setting(zones, both).choose(info('web', { namespace: 'other', labels: { app: 'web' } })),
      undefined,
    )
  })

  test('preferences pull and push', () => {
    const prefers = (kind: 'podAffinity' | 'podAntiAffinity') =>
      info('web', {
        spec: {
          affinity: {
            [kind]: {
              preferredDuringSchedulingIgnoredDuringExecution: [
                { weight: 100, podAffinityTerm: term('db') },
              ],
            },
          },
        } as Partial<PodSpec>,
      })
    const placed = [pod('db', { on: 'a2', labels: { app: 'db' } })]
    assert.equal(setting(zones, placed).choose(prefers('podAffinity')), 'a2')
    assert.notEqual(setting(zones, placed).choose(prefers('podAntiAffinity')), 'a2')
  })

  test('namespaces can be selected by their labels', () => {
    const cluster = setting(zones, [
      pod('db', { on: 'b1', namespace: 'data', labels: { app: 'db' } }),
    ])
    const web = info('web', {
      spec: affine(
        'podAffinity',
        term('db', HOST, { namespaceSelector: { matchLabels: { team: 'x' } } }),
      ),
    })
    assert.equal(cluster.choose(web), undefined)
    cluster.snapshot.setNamespace('data', { team: 'x' })
    assert.equal(cluster.choose(web), 'b1')
  })
})

describe('spreading', () => {
  const zones = [
    node('a1', { labels: { [ZONE]: 'a' } }),
    node('a2', { labels: { [ZONE]: 'a' } }),
    node('b1', { labels: { [ZONE]: 'b' } }),
  ]
  const spread = (more: object = {}) =>
    info('web', {
      labels: { app: 'web' },
      spec: {
        topologySpreadConstraints: [
          {
            maxSkew: 1,
            topologyKey: ZONE,
            whenUnsatisfiable: 'DoNotSchedule',
            labelSelector: { matchLabels: { app: 'web' } },
            ...more,
          },
        ],
      },
    })
  const webs = (...nodes: readonly string[]) =>
    nodes.map((on, at) => pod(`w${at}`, { on, labels: { app: 'web' } }))

  test('no domain gets ahead of the lowest by more than the skew', () => {
    assert.equal(setting(zones, webs('a1')).choose(spread()), 'b1')
    assert.equal(setting(zones, webs('b1')).choose(spread())?.[0], 'a')
    const full = [
      node('a1', { labels: { [ZONE]: 'a' } }),
      node('b1', { labels: { [ZONE]: 'b' }, unschedulable: true }),
      node('c1'),
    ]
    assert.equal(
      reason(setting(full, webs('a1')), spread()),
      "0/3 nodes are available: 1 node(s) didn't match pod topology spread constraints, " +
        "1 node(s) didn't match pod topology spread constraints (missing required label), 1 node(s) were unschedulable.",
    )
  })

  test('too few domains count as an empty one', () => {
    const one = [node('a1', { labels: { [ZONE]: 'a' } })]
    assert.equal(setting(one, webs('a1')).choose(spread()), 'a1')
    assert.equal(setting(one, webs('a1')).choose(spread({ minDomains: 2 })), undefined)
  })

  test('domains without eligible nodes do not hold others back', () => {
    const nodes = [
      node('a1', { labels: { [ZONE]: 'a', pool: 'x' } }),
      node('b1', { labels: { [ZONE]: 'b', pool: 'y' } }),
    ]
    const bound = (nodeAffinityPolicy: string) => {
      const { pod: of } = spread({ nodeAffinityPolicy })
      return info('web', {
        labels: { app: 'web' },
        spec: { ...of.spec, nodeSelector: { pool: 'x' } },
      })
    }
    assert.equal(setting(nodes, webs('a1')).choose(bound('Honor')), 'a1')
    assert.equal(setting(nodes, webs('a1')).choose(bound('Ignore')), undefined)
  })

  test('soft constraints prefer the emptier domain', () => {
    const soft = spread({ whenUnsatisfiable: 'ScheduleAnyway' })
    assert.equal(setting(zones, webs('a1', 'a1', 'a2')).choose(soft), 'b1')
  })

  test('pods of a Service spread by default', () => {
    const context: PluginContext = {
      ...noVolumes,
      selectorFor: () => ({ matchLabels: { app: 'web' } }),
    }
    const cluster = setting([node('n1'), node('n2')], webs('n1'), {
      plugins: defaultPlugins(context),
    })
    assert.equal(cluster.choose(info('a', { labels: { app: 'web' } })), 'n2')
  })
})
