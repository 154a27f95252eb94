import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import type { Pod } from '#api'
import { pod } from '../testing/pods.ts'
import type { PodVolumesOptions } from '../volumes/pod-volumes.ts'
import { PodFiles } from './files.ts'

const FILE = '/pods/uid-1/volumes/kubernetes.io~downward-api/about'

async function world(target: Pod) {
  const env = virtualEnv()
  const agent = {
    pod: target,
    context: {
      volumeOptions: {
        podsFolder: '/pods',
        host: {
          real: true,
          mountTmpfs: async () => {},
          isMounted: async () => false,
          unmountBelow: async () => {},
        },
        sources: {
          find: async () => ({
            configMap: () => undefined,
            secret: () => undefined,
            token: () => '',
            podCertificate: () => assert.fail('not asked for'),
            trustBundle: () => undefined,
          }),
          claim: async () => undefined,
          persistentVolume: async () => undefined,
        },
        env,
        imageVolume: () => assert.fail('there is none'),
        facts: () => ({ nodeName: 'n1', nodeIps: [], podIps: [], allocatable: {} }),
        nodeMemoryBytes: 1,
        nodeLabels: () => ({}),
      } satisfies PodVolumesOptions,
    },
    signal: new AbortController().signal,
    event: () => assert.fail('nothing fails'),
    publish: () => {},
    wakeIn: () => {},
  }
  const files = new PodFiles(agent, target)
  const make = await files.resolve(target)
  files.made((await make?.()) ?? new Map())
  const read = async (name: string): Promise<string> => {
    await env.advance(1)
    return env.fs.readText(`${FILE}/${await env.fs.readLink(`${FILE}/..data`)}/${name}`)
  }
  return { agent, files, read }
}

const about = (limit: string, labels = { app: 'a' }): Pod =>
  pod({
    metadata: { labels },
    containers: [
      {
        name: 'app',
        resources: { limits: { cpu: limit } },
        volumeMounts: [{ name: 'about', mountPath: '/about' }],
      },
    ],
    volumes: [
      {
        name: 'about',
        downwardAPI: {
          items: [
            {
              path: 'cpu',
              resourceFieldRef: { containerName: 'app', resource: 'limits.cpu', divisor: '1m' },
            },
            { path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } },
          ],
        },
      },
    ],
  })

test('what a container has been given in place is in the files of the downward API', async () => {
  const { agent, files, read } = await world(about('500m'))
  assert.equal(await read('cpu'), '500')
  agent.pod = about('700m')
  files.resized()
  assert.equal(await read('cpu'), '700')
})

test('what is only asked for is not, also when labels change', async () => {
  const { agent, files, read } = await world(about('500m'))
  agent.pod = about('500m', { app: 'b' })
  files.podChanged(about('500m'), about('900m', { app: 'b' }))
  assert.equal(await read('labels'), 'app="b"')
  assert.equal(await read('cpu'), '500')
})
