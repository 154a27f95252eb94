import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Node } from '#api'
import { virtualEnv } from '#base'
import { kubeletAddress, openKubeletSettings, SERVING_ANNOTATION } from './kubelet-address.ts'

const credential = { certificate: 'own', key: 'key' }
const pki = { authority: { certificate: 'cluster', key: '' }, kubeletClient: credential }
const node = (
  addresses: readonly (readonly [string, string])[],
  port?: number,
  annotations: Readonly<Record<string, string>> = {},
): Pick<Node, 'metadata' | 'status'> => ({
  metadata: { name: 'n1', uid: '', resourceVersion: '', creationTimestamp: '', annotations },
  status: {
    addresses: addresses.map(([type, address]) => ({ type, address })),
    ...(port === undefined ? {} : { daemonEndpoints: { kubeletEndpoint: { Port: port } } }),
  },
})
const both = [
  ['Hostname', 'n1.example'],
  ['InternalIP', '10.0.0.7'],
] as const

test('a kubelet is asked at the first kind of address that its node has', () => {
  assert.equal(kubeletAddress(node(both, 10_255), {}, pki).address, '10.0.0.7')
  const names = { addressTypes: ['ExternalDNS', 'Hostname', 'InternalIP'] as const }
  assert.equal(kubeletAddress(node(both), names, pki).address, 'n1.example')
  assert.throws(() => kubeletAddress(node(both), { addressTypes: ['ExternalIP'] }, pki), {
    message:
      'no preferred addresses found; known addresses: [{Hostname n1.example} {InternalIP 10.0.0.7}]',
    code: 500,
  })
})

test('where a node tells no port, it is the usual one', () => {
  assert.equal(kubeletAddress(node(both), {}, pki).port, 10_250)
  assert.equal(kubeletAddress(node(both, 0), {}, pki).port, 10_250)
  assert.equal(kubeletAddress(node(both, 4000), {}, pki).port, 4000)
})

test('our own kubelets prove who they are, and others when somebody says who signs for them', () => {
  const ours = node(both, 1, { [SERVING_ANNOTATION]: 'cluster' })
  assert.deepEqual(kubeletAddress(ours, { authority: 'theirs' }, pki).tls, {
    ...credential,
    trust: { authority: 'cluster', name: 'n1' },
  })
  assert.deepEqual(kubeletAddress(node(both), {}, pki).tls, credential)
  assert.deepEqual(kubeletAddress(node(both), { authority: 'theirs' }, pki).tls, {
    ...credential,
    trust: { authority: 'theirs' },
  })
})

test('an authority that is none is told of', async () => {
  const { fs } = virtualEnv()
  await fs.write('/ca.pem', 'nonsense')
  await assert.rejects(openKubeletSettings({ fs }, { authorityFile: '/ca.pem' }), {
    message: '/ca.pem has no certificates in PEM',
  })
  await assert.rejects(openKubeletSettings({ fs }, { authorityFile: '/nope' }), /cannot be read/)
})
