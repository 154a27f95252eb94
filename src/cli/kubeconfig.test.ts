import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from 'yaml'
import { virtualEnv } from '#base'
import { editKubeconfig, mergeKubeconfig, removeFromKubeconfig } from './kubeconfig.ts'

const ours = `
apiVersion: v1
kind: Config
clusters: [{ name: x, cluster: { server: 'https://127.0.0.1:6443' } }]
users: [{ name: x, user: { token: secret } }]
contexts: [{ name: x, context: { cluster: x, user: x } }]
`
const theirs = `
apiVersion: v1
kind: Config
preferences: { colors: true }
current-context: work
clusters: [{ name: work, cluster: { server: 'https://work' } }]
users: [{ name: work, user: {} }]
contexts: [{ name: work, context: { cluster: work, user: work } }]
`

test('our context is added and made current; all else stays', () => {
  const merged = parse(mergeKubeconfig(theirs, ours, 'navarch')) as Record<string, unknown>
  assert.deepEqual(
    (merged['contexts'] as { name: string }[]).map((c) => c.name),
    ['work', 'navarch'],
  )
  assert.equal(merged['current-context'], 'navarch')
  assert.deepEqual(merged['preferences'], { colors: true })
  assert.deepEqual((merged['contexts'] as object[])[1], {
    name: 'navarch',
    context: { cluster: 'navarch', user: 'navarch' },
  })
})

test('merging twice changes nothing more, and removing gives back what was there', () => {
  const once = mergeKubeconfig(theirs, ours, 'navarch')
  assert.equal(mergeKubeconfig(once, ours, 'navarch'), once)
  const removed = parse(removeFromKubeconfig(once, 'navarch')) as Record<string, unknown>
  assert.deepEqual(removed, { ...(parse(theirs) as object), 'current-context': 'work' })
})

test('a file that is no kubeconfig is refused and left as it was', async () => {
  const { fs } = virtualEnv()
  await fs.makeFolder('/home')
  await fs.write('/home/config', '- a\n- b\n')
  await assert.rejects(
    editKubeconfig(fs, '/home/config', (text) => mergeKubeconfig(text, ours, 'n')),
    /not a kubeconfig/,
  )
  assert.equal(await fs.readText('/home/config'), '- a\n- b\n')
})
