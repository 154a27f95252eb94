import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CertificateSigningRequest } from '#api'
import { decide, type RequestedCertificate } from './decide.ts'

const now = new Date('2026-01-01T00:00:00Z')
const NODE_CLIENT = 'kubernetes.io/kube-apiserver-client-kubelet'
const NODE_SERVING = 'kubernetes.io/kubelet-serving'
const plain: RequestedCertificate = {
  commonName: 'system:node:n1',
  organizations: ['system:nodes'],
  names: [],
  addresses: [],
  emails: [],
  uris: [],
}
const node = { username: 'system:node:n1', groups: ['system:nodes'] }
const newcomer = { username: 'system:bootstrap:abcdef', groups: ['system:bootstrappers'] }
const approved = [{ type: 'Approved', status: 'True' }]

const run = async (
  spec: Partial<Record<keyof CertificateSigningRequest['spec'], unknown>>,
  asked: Partial<RequestedCertificate> = {},
  conditions: NonNullable<CertificateSigningRequest['status']>['conditions'] = [],
) =>
  (
    await decide({
      read: async () => ({ ...plain, ...asked }),
      sign: async (_pem, { usages }) => `signed for ${usages.join()}`,
      reserved: ['kubernetes', '10.0.0.1', 'kube-apiserver-kubelet-client'],
    })(
      {
        apiVersion: 'certificates.k8s.io/v1',
        kind: 'CertificateSigningRequest',
        metadata: { name: 'csr-1', resourceVersion: '5' },
        spec: {
          request: 'eA==',
          signerName: NODE_CLIENT,
          usages: ['client auth', 'digital signature'],
          ...spec,
        },
        status: { conditions },
      } as unknown as CertificateSigningRequest,
      now,
    )
  ).actions.map((action) => {
    assert.ok(action.type === 'patch')
    const { conditions: after = [], certificate } = action.patch['status'] as {
      conditions?: { type: string; message?: string }[]
      certificate?: string
    }
    if (certificate !== undefined) return Buffer.from(certificate, 'base64').toString()
    const { type = '', message = '' } = after.at(-1) ?? {}
    return `${action.subresource}: ${type}${type === 'Failed' ? ` ${message}` : ''}`
  })[0]

test('a newcomer gets a client certificate for the node it becomes', async () => {
  assert.equal(await run(newcomer), 'approval: Approved')
  assert.equal(await run(newcomer, {}, approved), 'signed for client')
})

test('a node gets its certificates for itself, and for no other', async () => {
  const serving = { ...node, signerName: NODE_SERVING, usages: ['server auth'] }
  assert.equal(await run(node), 'approval: Approved')
  assert.equal(await run(node, { commonName: 'system:node:n2' }), undefined)
  assert.equal(await run(serving, { names: ['n1'], addresses: ['10.0.0.7'] }), 'approval: Approved')
  assert.equal(await run(serving, { names: ['n1'] }, approved), 'signed for server')
  assert.equal(await run(serving, { names: ['n2'] }), undefined)
  assert.equal(await run(serving, { names: ['n1'], addresses: ['10.0.0.1'] }), undefined)
  assert.equal(await run({ ...serving, ...newcomer }, { names: ['n1'] }), undefined)
})

test('what nobody may have is not signed, even when somebody approved it', async () => {
  const client = {
    username: 'jane',
    groups: [],
    signerName: 'kubernetes.io/kube-apiserver-client',
    usages: ['client auth'],
  }
  assert.equal(await run(client, { commonName: 'jane', organizations: [] }), undefined)
  assert.equal(
    await run(client, { commonName: 'jane', organizations: [] }, approved),
    'signed for client',
  )
  assert.match(
    (await run(client, { organizations: ['system:masters'] }, approved)) ?? '',
    /Failed.*masters/,
  )
  assert.match(
    (await run(client, { commonName: 'kube-apiserver-kubelet-client' }, approved)) ?? '',
    /Failed.*own/,
  )
  assert.match(
    (await run(node, { organizations: ['admins'] }, approved)) ?? '',
    /Failed.*system:nodes/,
  )
})

test('requests for other signers and those that are settled are left alone', async () => {
  assert.equal(await run({ ...node, signerName: 'example.com/mine' }), undefined)
  assert.equal(await run(node, {}, [{ type: 'Denied', status: 'True' }]), undefined)
})
