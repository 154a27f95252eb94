import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CoreV1Api, KubeConfig } from '@kubernetes/client-node'
import * as library from './index.ts'

const { configMaps, createCluster } = library

test('a cluster of the library listens when asked: a client of another make reads what its own client wrote', async () => {
  const cluster = await createCluster({ nodes: 0 })
  await cluster.client.create(configMaps, {
    metadata: { name: 'words', namespace: 'default' },
    data: { hello: 'world' },
  })
  const { url, kubeconfig, close } = await cluster.listen()
  const config = new KubeConfig()
  config.loadFromString(kubeconfig)
  assert.equal(config.getCurrentCluster()?.server, url)
  const read = () =>
    config.makeApiClient(CoreV1Api).readNamespacedConfigMap({ name: 'words', namespace: 'default' })
  assert.deepEqual((await read()).data, { hello: 'world' })
  await close()
  await assert.rejects(read())
  const second = await cluster.listen()
  await cluster.stop()
  config.loadFromString(second.kubeconfig)
  await assert.rejects(read(), 'the stop of the cluster closes what was opened')
})

test('the library names every resource that a client of it can ask for', () => {
  for (const name of ['pods', 'deployments', 'services', 'nodes', 'customResourceDefinitions'])
    assert.ok(name in library, name)
})
