import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  certificateSigningRequests,
  cronJobs,
  daemonSets,
  deployments,
  jobs,
  namespaces,
  persistentVolumeClaims,
  replicaSets,
  services,
  statefulSets,
} from '#api'
import { createRequest, newKey } from '#apiserver'
import { createLogger, virtualEnv, type LogRecord } from '#base'
import { createCluster } from './library/create-cluster.ts'

const template = (app: string) => ({
  metadata: { labels: { app } },
  spec: { containers: [{ name: 'main', image: 'web:1' }] },
})
const key = (name: string) => ({ name, namespace: 'shop' })
const selector = (app: string) => ({ matchLabels: { app } })

test('controllers do their work with the rights of their own roles', async () => {
  const said: LogRecord[] = []
  const log = createLogger({
    now: () => new Date(),
    level: () => 'info',
    sink: (record) => said.push(record),
  })
  const env = virtualEnv({ log })
  const cluster = await createCluster({ env })
  const { client } = cluster
  await env.advance(5000)
  await client.create(namespaces, { metadata: { name: 'shop' }, spec: {} })
  await env.advance(1000)
  const create = (ref: unknown, name: string, spec: object): Promise<unknown> =>
    client.create(ref as typeof jobs, { metadata: key(name), spec } as never)
  await create(deployments, 'web', {
    replicas: 2,
    selector: selector('web'),
    template: template('web'),
  })
  await create(services, 'web', { selector: { app: 'web' }, ports: [{ port: 80 }] })
  await create(daemonSets, 'agent', { selector: selector('agent'), template: template('agent') })
  await create(statefulSets, 'db', {
    serviceName: 'db',
    selector: selector('db'),
    template: template('db'),
    persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Delete', whenScaled: 'Delete' },
    volumeClaimTemplates: [
      {
        metadata: { name: 'data' },
        spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
      },
    ],
  })
  const once = { ...template('once').spec, restartPolicy: 'Never' }
  await create(jobs, 'once', { ttlSecondsAfterFinished: 5, template: { spec: once } })
  await create(cronJobs, 'tick', {
    schedule: '* * * * *',
    jobTemplate: { spec: { template: { spec: once } } },
  })
  await client.create(certificateSigningRequests, {
    metadata: { name: 'jane' },
    spec: {
      request: Buffer.from(
        await createRequest({ commonName: 'jane' }, newKey(env.random)),
      ).toString('base64'),
      signerName: 'kubernetes.io/kube-apiserver-client',
      usages: ['client auth'],
    },
  })
  const asked = await client.get(certificateSigningRequests, { name: 'jane' })
  await client.update(
    certificateSigningRequests,
    {
      ...asked,
      status: { conditions: [{ type: 'Approved', status: 'True', reason: 'ByTest' }] },
    } as typeof asked,
    { subresource: 'approval' },
  )
  await env.advance(65_000)
  for (let i = 0; i < 20; i++) await env.advance(100)

  assert.equal((await client.get(deployments, key('web'))).status?.readyReplicas, 2)
  const [set] = (await client.list(replicaSets, { namespace: 'shop' })).items
  assert.equal(set?.metadata.annotations?.['deployment.kubernetes.io/revision'], '1')
  const claim = await client.get(persistentVolumeClaims, key('data-db-0'))
  assert.equal(claim.metadata.ownerReferences?.[0]?.name, 'db')
  assert.ok((await client.list(jobs, { namespace: 'shop' })).items.length >= 2)
  const signed = await client.get(certificateSigningRequests, { name: 'jane' })
  assert.match(
    Buffer.from(signed.status?.certificate ?? '', 'base64').toString(),
    /BEGIN CERTIFICATE/,
  )

  await client.delete(namespaces, { name: 'shop' })
  await env.advance(120_000)
  assert.equal(await client.getOptional(namespaces, { name: 'shop' }), undefined)
  const refused = said.filter(({ fields }) =>
    / cannot \w+ resource /.test(String(fields?.['error'])),
  )
  assert.deepEqual(refused, [])
  await cluster.stop()
})
