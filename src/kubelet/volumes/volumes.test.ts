import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { virtualEnv } from '#base'
import type { Volume } from '#api'
import { pod } from '../testing/pods.ts'
import { writeAtomically } from './atomic-writer.ts'
import { claimPath, prepareHostPath } from './host-path.ts'
import { mountPoints, type VolumeHost } from './host.ts'
import { volumeMounts } from './mounts.ts'
import { PodVolumes } from './pod-volumes.ts'
import { type FoundSources, type Payload, payloadOf, sourceRefs } from './payload.ts'

const facts = { nodeName: 'n1', nodeIps: [], podIps: [], allocatable: {} }
const meta = { uid: 'u', resourceVersion: '1', creationTimestamp: '' }
const none: FoundSources = {
  configMap: () => undefined,
  secret: () => undefined,
  token: () => 'token',
  podCertificate: () => ({ key: 'KEY\n', chain: 'CHAIN\n' }),
  trustBundle: () => undefined,
}
const texts = (payload: Payload) =>
  Object.fromEntries([...payload].map(([path, { data }]) => [path, Buffer.from(data).toString()]))

test('a config map is a file for each key, or for each item under its own name', () => {
  const settings = {
    metadata: { name: 'settings', ...meta },
    data: { a: '1', b: '2' },
    binaryData: { c: Buffer.from('3').toString('base64') },
  }
  const found = { ...none, configMap: () => settings }
  const all: Volume = { name: 'v', configMap: { name: 'settings' } }
  assert.deepEqual(texts(payloadOf(pod(), all, found, facts)), { a: '1', b: '2', c: '3' })
  const some: Volume = {
    name: 'v',
    configMap: { name: 'settings', items: [{ key: 'a', path: 'x/y', mode: 0o400 }] },
  }
  const payload = payloadOf(pod(), some, found, facts)
  assert.deepEqual(texts(payload), { 'x/y': '1' })
  assert.equal(payload.get('x/y')?.mode, 0o400)
})

test('what is missing is an error in the words of Kubernetes, unless it is optional', () => {
  const volume = (optional: boolean): Volume => ({
    name: 'v',
    secret: { secretName: 'login', optional },
  })
  assert.throws(
    () => payloadOf(pod(), volume(false), none, facts),
    /^VolumeError: secret "login" not found$/,
  )
  assert.equal(payloadOf(pod(), volume(true), none, facts).size, 0)
})

test('a token is for the one user that the containers run as', () => {
  const volume: Volume = {
    name: 'v',
    projected: { sources: [{ serviceAccountToken: { path: 'token' } }] },
  }
  const mode = (target: ReturnType<typeof pod>) =>
    payloadOf(target, volume, none, facts).get('token')
  assert.equal(mode(pod())?.mode, 0o644)
  const own = mode(pod({ securityContext: { runAsUser: 1000 } }))
  assert.deepEqual([own?.mode, own?.uid], [0o600, 1000])
  // The group is given to all files of the volume when they are written, and may read them.
  const shared = mode(pod({ securityContext: { runAsUser: 1000, fsGroup: 10_000 } }))
  assert.deepEqual([shared?.mode, shared?.uid], [0o600, 1000])
  const grouped = mode(pod({ securityContext: { fsGroup: 10_000 } }))
  assert.deepEqual([grouped?.mode, grouped?.uid], [0o600, undefined])
  assert.deepEqual(sourceRefs(volume), [{ kind: 'Token', audience: '', expirationSeconds: 3600 }])
})

const payload = (files: Readonly<Record<string, string>>): Payload =>
  new Map(
    Object.entries(files).map(([path, text]) => [path, { data: Buffer.from(text), mode: 0o644 }]),
  )

test('whatever was written before, a reader finds exactly the new files', async () => {
  const name = fc.constantFrom('a', 'b', 'c/d', 'c/e', 'f')
  const files = fc.dictionary(name, fc.string({ maxLength: 5 }))
  await fc.assert(
    fc.asyncProperty(fc.array(files, { minLength: 1, maxLength: 4 }), async (versions) => {
      const env = virtualEnv()
      await env.fs.makeFolder('/v')
      for (const version of versions) {
        await writeAtomically('/v', payload(version), undefined, env)
        await env.advance(1000)
        const visible = (await env.fs.list('/v')).filter((each) => !each.startsWith('..'))
        assert.deepEqual(
          visible.toSorted(),
          [...new Set(Object.keys(version).map((path) => path.split('/')[0] ?? ''))].toSorted(),
        )
        const data = await env.fs.readLink('/v/..data')
        for (const [path, text] of Object.entries(version)) {
          assert.equal(await env.fs.readText(`/v/${data}/${path}`), text)
        }
        assert.equal((await env.fs.list('/v')).filter((each) => each.startsWith('..2')).length, 1)
      }
    }),
    { numRuns: 30 },
  )
})

test('the same files are not written again', async () => {
  const env = virtualEnv()
  await env.fs.makeFolder('/v')
  assert.equal(await writeAtomically('/v', payload({ a: '1' }), undefined, env), true)
  assert.equal(await writeAtomically('/v', payload({ a: '1' }), undefined, env), false)
})

test('of two changes that come at once, the newer is what stays in the files', async () => {
  const env = virtualEnv()
  let version = 1
  const fetched: PromiseWithResolvers<void>[] = []
  const settings = (value: string) => ({
    metadata: { name: 'settings', ...meta },
    data: { a: value },
  })
  const host: VolumeHost = {
    real: true,
    mountTmpfs: async () => undefined,
    isMounted: async () => false,
    unmountBelow: async () => undefined,
  }
  const target = pod({
    volumes: [{ name: 'v', configMap: { name: 'settings' } }],
    containers: [{ name: 'c', image: 'i', volumeMounts: [{ name: 'v', mountPath: '/v' }] }],
  })
  const volumes = new PodVolumes(target, {
    podsFolder: '/pods',
    host,
    env,
    facts: () => facts,
    nodeMemoryBytes: 1,
    nodeLabels: () => ({}),
    imageVolume: async () => ({ image: '' }),
    sources: {
      async find() {
        const found = settings(String(version++))
        const gate = Promise.withResolvers<void>()
        fetched.push(gate)
        await gate.promise
        return { ...none, configMap: () => found }
      },
      claim: async () => undefined,
      persistentVolume: async () => undefined,
    },
  })
  const { signal } = new AbortController()
  const both = [volumes.refresh(target, signal), volumes.refresh(target, signal)]
  // The second answer is there before the first.
  await env.settle()
  fetched[1]?.resolve()
  await env.settle()
  fetched[0]?.resolve()
  await env.settle()
  fetched[1]?.resolve()
  await Promise.all(both)
  const path = `/pods/${target.metadata.uid}/volumes/kubernetes.io~configmap/v`
  assert.equal(await env.fs.readText(`${path}/${await env.fs.readLink(`${path}/..data`)}/a`), '2')
})

test('an image that the runtime does not mount itself is mounted once, for all containers', async () => {
  const env = virtualEnv()
  const mounted: string[] = []
  const host: VolumeHost = {
    real: true,
    mountTmpfs: async () => undefined,
    isMounted: async (path) => mounted.includes(path),
    unmountBelow: async () => undefined,
  }
  const target = pod({
    volumes: [{ name: 'v', image: { reference: 'kitten:1', pullPolicy: 'Always' } }],
    containers: [{ name: 'c', image: 'i', volumeMounts: [{ name: 'v', mountPath: '/v' }] }],
  })
  const volumes = new PodVolumes(target, {
    podsFolder: '/pods',
    host,
    env,
    facts: () => facts,
    nodeMemoryBytes: 1,
    nodeLabels: () => ({}),
    imageVolume: async () => ({ mount: async (folder) => void mounted.push(folder) }),
    sources: {
      find: async () => none,
      claim: async () => undefined,
      persistentVolume: async () => undefined,
    },
  })
  const hostPath = `/pods/${target.metadata.uid}/volumes/kubernetes.io~image/v`
  for (let round = 0; round < 2; round++) {
    const make = await volumes.resolve(target, new AbortController().signal)
    assert.deepEqual((await make()).get('v'), { hostPath, readOnly: true })
  }
  assert.deepEqual(mounted, [hostPath])
})

test('a certificate is one file of key and chain, or one for each; secret from all but its user', () => {
  const source = {
    signerName: 'example.com/signer',
    keyType: 'ED25519',
    credentialBundlePath: 'bundle.pem',
    keyPath: 'key.pem',
    certificateChainPath: 'chain.pem',
  }
  const volume = { name: 'v', projected: { sources: [{ podCertificate: source }] } }
  assert.deepEqual(sourceRefs(volume), [{ kind: 'PodCertificate', source }])
  const payload = payloadOf(pod({ securityContext: { runAsUser: 1000 } }), volume, none, facts)
  assert.deepEqual(texts(payload), {
    'bundle.pem': 'KEY\nCHAIN\n',
    'key.pem': 'KEY\n',
    'chain.pem': 'CHAIN\n',
  })
  assert.deepEqual([payload.get('key.pem')?.mode, payload.get('key.pem')?.uid], [0o600, 1000])
})

test('the type of a host path is checked, and what may be made is made', async () => {
  const { fs } = virtualEnv()
  await prepareHostPath('/data/new', 'DirectoryOrCreate', fs)
  assert.equal((await fs.stat('/data/new'))?.kind, 'folder')
  await assert.rejects(
    prepareHostPath('/data/new', 'File', fs),
    /hostPath type check failed: \/data\/new is not a file/,
  )
  await assert.rejects(prepareHostPath('/nowhere', 'Directory', fs), /is not a directory/)
  await prepareHostPath('/nowhere', '', fs)
})

test('a claim leads to the folder of its volume, on the node that has it', async () => {
  const sources = {
    claim: async () => ({
      metadata: { name: 'data', ...meta },
      spec: { volumeName: 'pv1' },
      status: { phase: 'Bound' as const },
    }),
    persistentVolume: async () => ({
      metadata: { name: 'pv1', ...meta },
      spec: {
        local: { path: '/disk' },
        nodeAffinity: {
          required: {
            nodeSelectorTerms: [
              {
                matchExpressions: [
                  { key: 'kubernetes.io/hostname', operator: 'In' as const, values: ['n1'] },
                ],
              },
            ],
          },
        },
      },
    }),
  }
  const found = await claimPath('shop', 'data', sources, { 'kubernetes.io/hostname': 'n1' })
  assert.equal(found.path, '/disk')
  await assert.rejects(claimPath('shop', 'data', sources, {}), /is not for this node/)
})

const mountOf = async (
  fs: ReturnType<typeof virtualEnv>['fs'],
  mount: { subPath?: string; subPathExpr?: string },
) => {
  const [found] = await volumeMounts(
    { name: 'app', volumeMounts: [{ name: 'v', mountPath: '/m', ...mount }] },
    new Map([['v', { hostPath: '/vol', readOnly: false }]]),
    new Map([['NAME', 'web']]),
    fs,
  )
  return found?.hostPath
}

test('a subpath is made inside its volume and never leads out of it', async () => {
  const { fs } = virtualEnv()
  await fs.makeFolder('/vol', { mode: 0o777 })
  await fs.makeFolder('/etc')
  assert.equal(await mountOf(fs, { subPathExpr: 'logs/$(NAME)' }), '/vol/logs/web')
  assert.equal((await fs.stat('/vol/logs/web'))?.kind, 'folder')
  await fs.symlink('..data/key', '/vol/key')
  await fs.makeFolder('/vol/..one')
  await fs.write('/vol/..one/key', 'x')
  await fs.symlink('..one', '/vol/..data')
  assert.equal(await mountOf(fs, { subPath: 'key' }), '/vol/..one/key')
  await fs.symlink('/etc', '/vol/absolute')
  await fs.symlink('../etc', '/vol/relative')
  for (const subPath of ['absolute', 'relative']) {
    await assert.rejects(mountOf(fs, { subPath }), /leads out of its volume/)
  }
  await assert.rejects(mountOf(fs, { subPath: '../x' }), /must not contain '\.\.'/)
  await assert.rejects(mountOf(fs, { subPathExpr: '/$(NAME)' }), /must not be an absolute path/)
  await assert.rejects(mountOf(fs, { subPathExpr: '$(NOBODY)' }), /missing value for "NOBODY"/)
})

test('mount points are read with their escapes', () => {
  const line = '36 35 98:0 / /mnt/my\\040disk rw,noatime master:1 - ext4 /dev/sda rw'
  assert.deepEqual(mountPoints(`${line}\n`), ['/mnt/my disk'])
})
