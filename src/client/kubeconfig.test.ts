import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseKubeconfig } from './kubeconfig.ts'

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const TEXT = `
apiVersion: v1
kind: Config
current-context: navarch
clusters:
- name: c
  cluster: { server: 'https://127.0.0.1:6443', certificate-authority-data: ${base64('CA')} }
users:
- name: u
  user: { client-certificate-data: ${base64('CERT')}, client-key-data: ${base64('KEY')} }
- name: robot
  user: { token: secret }
contexts:
- name: navarch
  context: { cluster: c, user: u, namespace: shop }
- name: other
  context: { cluster: c, user: robot }
- name: broken
  context: { cluster: none, user: u }
`

test('the current context says where, and as whom', () => {
  assert.deepEqual(parseKubeconfig(TEXT), {
    server: 'https://127.0.0.1:6443',
    namespace: 'shop',
    authority: 'CA',
    certificate: 'CERT',
    key: 'KEY',
  })
})

test('another context can be named', () => {
  assert.deepEqual(parseKubeconfig(TEXT, 'other'), {
    server: 'https://127.0.0.1:6443',
    namespace: 'default',
    authority: 'CA',
    token: 'secret',
  })
})

test('what is missing is named', () => {
  assert.throws(() => parseKubeconfig(TEXT, 'nope'), /no context "nope"/)
  assert.throws(() => parseKubeconfig(TEXT, 'broken'), /no cluster "none"/)
  assert.throws(() => parseKubeconfig(''), /no context ""/)
})
