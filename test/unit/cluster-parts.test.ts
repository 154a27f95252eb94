import assert from 'node:assert/strict'
import { test } from 'node:test'
import { firstSubnet, nthAddress, overlap } from '../../src/cluster/addresses.ts'
import { fullImageName } from '../../src/cluster/images.ts'
import { parseMirrors } from '../../src/cluster/node.ts'

test('addresses of ranges', () => {
  assert.equal(nthAddress('10.96.0.0/12', 10), '10.96.0.10')
  assert.equal(nthAddress('10.244.0.0/16', 257), '10.244.1.1')
  assert.equal(firstSubnet('10.244.0.0/16', 24), '10.244.0.0/24')
  assert.equal(firstSubnet('10.244.0.0/26', 24), '10.244.0.0/26')
  assert.equal(overlap('10.96.0.0/12', '10.111.0.0/16'), true)
  assert.equal(overlap('10.96.0.0/12', '10.112.0.0/16'), false)
})

test('image names are completed as a registry client would', () => {
  assert.equal(fullImageName('web'), 'docker.io/library/web:latest')
  assert.equal(fullImageName('me/web:1'), 'docker.io/me/web:1')
  assert.equal(fullImageName('registry.example/web'), 'registry.example/web:latest')
  assert.equal(fullImageName('localhost/web:2'), 'localhost/web:2')
})

test('registry mirrors are told by registry, or for all', () => {
  assert.deepEqual(parseMirrors(['docker.io=http://127.0.0.1:5000', 'https://mirror']), {
    'docker.io': ['http://127.0.0.1:5000'],
    '*': ['https://mirror'],
  })
  assert.throws(() => parseMirrors(['nonsense']), /must be like docker\.io=/)
})
