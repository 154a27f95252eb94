import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Container, Service } from '#api'
import { pod } from '../testing/pods.ts'
import { ConfigError, environmentOf, serviceVariables } from './environment.ts'
import { expand } from './expand.ts'
import { fieldValue, resourceValue } from './downward.ts'

const facts = {
  nodeName: 'n1',
  nodeIps: ['192.168.0.1'],
  podIps: ['10.0.0.5'],
  allocatable: { cpu: '2', memory: '4Gi' },
}
const meta = { uid: 'u', resourceVersion: '1', creationTimestamp: '' }
const environment = (container: Partial<Container>) =>
  environmentOf({
    pod: pod({ containers: [{ name: 'app', ...container }] }),
    container: { name: 'app', ...container },
    sources: {
      configMaps: new Map([
        ['settings', { metadata: { name: 'settings', ...meta }, data: { A: '1', 'b=c': '2' } }],
      ]),
      secrets: new Map([
        ['login', { metadata: { name: 'login', ...meta }, data: { PASSWORD: 'c2VjcmV0' } }],
      ]),
    },
    downward: facts,
    services: [],
  })

test('a variable may use those before it, and $$ is a dollar', () => {
  const { variables } = environment({
    env: [
      { name: 'HOST', value: 'db' },
      { name: 'URL', value: 'tcp://$(HOST)/$$(HOST)/$(OTHER)' },
    ],
  })
  assert.equal(variables.get('URL'), 'tcp://db/$(HOST)/$(OTHER)')
})

test('values come from config maps, secrets and the pod itself', () => {
  const { variables } = environment({
    env: [
      { name: 'A', valueFrom: { configMapKeyRef: { name: 'settings', key: 'A' } } },
      { name: 'P', valueFrom: { secretKeyRef: { name: 'login', key: 'PASSWORD' } } },
      { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
      { name: 'CPU', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } },
    ],
  })
  assert.deepEqual(Object.fromEntries(variables), { A: '1', P: 'secret', IP: '10.0.0.5', CPU: '2' })
})

test('a key that is missing is an error in the words of Kubernetes, unless it is optional', () => {
  const missing = (optional: boolean) => ({
    env: [
      { name: 'A', valueFrom: { configMapKeyRef: { name: 'settings', key: 'nope', optional } } },
    ],
  })
  assert.throws(
    () => environment(missing(false)),
    new ConfigError("couldn't find key nope in ConfigMap shop/settings"),
  )
  assert.equal(environment(missing(true)).variables.size, 0)
})

test('keys that are no names are left out of envFrom and told', () => {
  const { variables, skipped } = environment({
    envFrom: [{ prefix: 'X_', configMapRef: { name: 'settings' } }],
  })
  assert.deepEqual([...variables], [['X_A', '1']])
  assert.deepEqual(skipped, [{ source: 'configMap:shop/settings', keys: ['X_b=c'] }])
})

const service = (namespace: string, name: string, clusterIP: string): Service => ({
  metadata: { ...meta, name, namespace },
  spec: { clusterIP, ports: [{ name: 'http', port: 80, protocol: 'TCP' }] },
})

test('services of the namespace are variables; of others only the API', () => {
  const variables = serviceVariables(pod(), [
    service('default', 'kubernetes', '10.96.0.1'),
    service('shop', 'my-db', '10.96.0.2'),
    service('shop', 'headless', 'None'),
    service('other', 'web', '10.96.0.3'),
  ])
  assert.equal(variables.get('KUBERNETES_SERVICE_HOST'), '10.96.0.1')
  assert.equal(variables.get('MY_DB_SERVICE_PORT_HTTP'), '80')
  assert.equal(variables.get('MY_DB_PORT_80_TCP'), 'tcp://10.96.0.2:80')
  assert.ok(![...variables.keys()].some((name) => /^(WEB|HEADLESS)/.test(name)))
})

test('without service links the API is all that is known', () => {
  const variables = serviceVariables(pod({ enableServiceLinks: false }), [
    service('default', 'kubernetes', '10.96.0.1'),
    service('shop', 'my-db', '10.96.0.2'),
  ])
  assert.ok(![...variables.keys()].some((name) => name.startsWith('MY_DB')))
  assert.ok(variables.has('KUBERNETES_PORT'))
})

test('text without references is not touched by expansion', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const plain = text.replaceAll('$', '')
      assert.equal(
        expand(plain, () => 'x'),
        plain,
      )
    }),
  )
})

test('expanding with nothing known gives the text back, doubled dollars apart', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const single = text.replaceAll(/\$+/g, '$')
      assert.equal(
        expand(single, () => undefined),
        single,
      )
    }),
  )
})

test('labels are lines of quoted values in order', () => {
  const target = pod({ metadata: { labels: { b: 'say "hi"', a: 'x\ny' } } })
  assert.equal(fieldValue(target, 'metadata.labels', facts), 'a="x\\ny"\nb="say \\"hi\\""')
  assert.equal(fieldValue(target, "metadata.labels['a']", facts), 'x\ny')
})

test('resources are rounded up to the divisor', () => {
  const target = pod({
    containers: [{ name: 'app', resources: { requests: { cpu: '250m', memory: '65Mi' } } }],
  })
  const read = (resource: string, divisor?: string) =>
    resourceValue(target, 'app', { resource, ...(divisor === undefined ? {} : { divisor }) }, facts)
  assert.equal(read('requests.cpu'), '1')
  assert.equal(read('requests.cpu', '1m'), '250')
  assert.equal(read('requests.memory', '1Mi'), '65')
  assert.equal(read('limits.memory', '1Gi'), '4')
})
