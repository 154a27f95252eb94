import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseArguments } from '../arguments.ts'
import { kubeletOptions, kubeletSettings } from './kubelet-flags.ts'
import { nodeOptions, nodeSettings } from './node-flags.ts'

const settings = (...words: readonly string[]) => nodeSettings(parseArguments(words, nodeOptions))

test('kubelets are told what is given, and their agents the same', () => {
  assert.equal(settings(), undefined)
  const words = ['--max-pods=250', '--node-labels=disk=ssd', '--image-gc-high-threshold=90']
  const found = settings(...words)
  assert.equal(found?.maxPods, 250)
  assert.deepEqual(found.labels, { disk: 'ssd' })
  assert.deepEqual(found.imageMarks, {
    highPercent: 90,
    lowPercent: 80,
    enoughBytes: Number.POSITIVE_INFINITY,
  })
  assert.deepEqual(found.flags, words)
})

test('what does not go together is told before anything starts', () => {
  for (const [word, expected] of [
    ['--image-gc-high-threshold=80', /--image-gc-low-threshold 80 must be less than/],
    ['--eviction-soft=memory.available<1Gi', /--eviction-soft-grace-period: there is no grace/],
    ['--eviction-hard=memory<1Gi', /--eviction-hard: there is no signal "memory"/],
    ['--register-with-taints=a', /--register-with-taints: "a" is not/],
    ['--max-pods=-1', /--max-pods/],
  ] as const)
    assert.throws(() => settings(word), expected)
})

test('kinds of addresses are checked', () => {
  const access = (word: string) => kubeletSettings(parseArguments([word], kubeletOptions))
  assert.deepEqual(access('--kubelet-preferred-address-types=Hostname,InternalIP'), {
    addressTypes: ['Hostname', 'InternalIP'],
  })
  assert.throws(
    () => access('--kubelet-preferred-address-types=IP'),
    /must be of Hostname, .* "IP"/,
  )
})
