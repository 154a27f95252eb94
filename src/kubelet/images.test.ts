import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import { Images } from './images.ts'
import type { RegistryAuth, Runtime } from './runtime.ts'
import { pod } from './testing/pods.ts'

const secret: RegistryAuth = {
  username: 'me',
  password: 'secret',
  auth: '',
  serverAddress: 'private.example',
  identityToken: '',
  registryToken: '',
}

/** A registry that lets nobody in without the secret. */
function world(present: boolean) {
  const pulls: (string | undefined)[] = []
  const runtime = {
    imageStatus: async () =>
      present
        ? { id: 'sha256:old', tags: [], digests: [], sizeBytes: 1, username: '', pinned: false }
        : undefined,
    pullImage: async (_name: string, auth?: RegistryAuth) => {
      pulls.push(auth?.username)
      if (auth?.password !== 'secret') throw new Error('pull access denied')
      return 'sha256:new'
    },
  } as unknown as Runtime
  const images = new Images({
    runtime,
    env: virtualEnv(),
    auth: async (_pod, image) => (image.startsWith('private.example/') ? [secret] : []),
    onPulled: () => {},
  })
  const { signal } = new AbortController()
  const ask = (image: string, policy: string) => images.forVolume(pod(), image, policy, signal)
  return { ask, pulls }
}

test('an image for a volume is pulled with the secrets of its pod, when the policy says so', async () => {
  const there = world(true)
  assert.equal(await there.ask('private.example/data:1', 'IfNotPresent'), 'sha256:old')
  assert.deepEqual(there.pulls, [])
  assert.equal(await there.ask('private.example/data:1', 'Always'), 'sha256:new')
  assert.deepEqual(there.pulls, ['me'])
})

test('an image for a volume that cannot be had says why', async () => {
  const { ask } = world(false)
  await assert.rejects(
    ask('other.example/data:1', 'IfNotPresent'),
    /failed to pull image "other.example\/data:1": pull access denied/,
  )
  await assert.rejects(
    ask('private.example/data:1', 'Never'),
    /image "private.example\/data:1" is not present with pull policy of Never/,
  )
})
