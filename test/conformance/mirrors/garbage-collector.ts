import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { mirror, type Fixture } from '../mirror.ts'
import { change, deployment, gone, holds, names, pod, replicationController } from '../support.ts'

const ORPHANS_STAY_MS = 30_000
/** As many pods as two nodes are sure to take. */
const MANY = 100

const podsOf = async ({ api, ns }: Fixture, name: string): Promise<Json[]> =>
  (await api.get(ns('pods'), { labelSelector: `name=${name}` }))['items']

/** A controller whose pods exist; how they fare does not matter. */
async function controllerWithPods(fixture: Fixture, name: string, replicas: number): Promise<Json> {
  const { api, ns, until } = fixture
  const made = await api.post(
    ns('replicationcontrollers'),
    replicationController(name, { replicas }),
  )
  await until(
    `${replicas} pods of ${name} are created`,
    async () => (await podsOf(fixture, name)).length === replicas,
  )
  await until(
    'the status says so',
    async () =>
      (await api.get(ns(`replicationcontrollers/${name}`)))['status'].replicas === replicas,
  )
  return made
}

mirror(
  '[sig-api-machinery] Garbage collector should delete pods created by rc when not orphaning [Conformance]',
  async (fixture) => {
    const { api, ns, until } = fixture
    const rc = await controllerWithPods(fixture, 'simpletest.rc', 2)
    await api.delete(ns('replicationcontrollers/simpletest.rc'), {
      propagationPolicy: 'Background',
      preconditions: { uid: rc['metadata'].uid },
    })
    await until(
      'all pods are collected',
      async () => (await podsOf(fixture, 'simpletest.rc')).length === 0,
    )
  },
)

mirror(
  '[sig-api-machinery] Garbage collector should orphan pods created by rc if delete options say so [Conformance] [Serial]',
  async (fixture) => {
    const { api, ns, until, profile } = fixture
    const replicas = MANY
    const rc = await controllerWithPods(fixture, 'simpletest.rc', replicas)
    await api.delete(ns('replicationcontrollers/simpletest.rc'), {
      propagationPolicy: 'Orphan',
      preconditions: { uid: rc['metadata'].uid },
    })
    await until(
      'the controller is gone',
      () => gone(api, ns('replicationcontrollers/simpletest.rc')),
      120_000,
    )
    await holds(
      'the pods stay',
      async () => (await podsOf(fixture, 'simpletest.rc')).length === replicas,
      profile === 'fast' ? 3000 : ORPHANS_STAY_MS,
    )
    for (const each of await podsOf(fixture, 'simpletest.rc'))
      assert.deepEqual(each['metadata'].ownerReferences ?? [], [])
  },
)

/** A Deployment with two pods, and the name of its replica set. */
async function deploymentWithSet(fixture: Fixture): Promise<readonly [Json, string]> {
  const { api, namespace, until } = fixture
  const path = `/apis/apps/v1/namespaces/${namespace}`
  const made = await api.post(
    `${path}/deployments`,
    deployment('simpletest.deployment', { replicas: 2, labels: { app: 'gctest' } }),
  )
  const set = await until(
    'the replica set exists',
    async () => names(await api.get(`${path}/replicasets`))[0],
  )
  return [made, set]
}

mirror(
  '[sig-api-machinery] Garbage collector should delete RS created by deployment when not orphaning [Conformance]',
  async (fixture) => {
    const { api, namespace, ns, until } = fixture
    const path = `/apis/apps/v1/namespaces/${namespace}`
    const [made] = await deploymentWithSet(fixture)
    await api.delete(`${path}/deployments/simpletest.deployment`, {
      propagationPolicy: 'Background',
      preconditions: { uid: made['metadata'].uid },
    })
    await until('everything is collected', async () => {
      const left = await Promise.all(
        [`${path}/deployments`, `${path}/replicasets`, ns('pods')].map(
          async (each) => (await api.get(each))['items'].length as number,
        ),
      )
      return left.every((count) => count === 0)
    })
  },
)

mirror(
  '[sig-api-machinery] Garbage collector should orphan RS created by deployment when deleteOptions.PropagationPolicy is Orphan [Conformance]',
  async (fixture) => {
    const { api, namespace, until, profile } = fixture
    const path = `/apis/apps/v1/namespaces/${namespace}`
    const [made, set] = await deploymentWithSet(fixture)
    await until('the set has its pods', async () => {
      const { metadata, status } = await api.get(`${path}/replicasets/${set}`)
      return status?.observedGeneration >= metadata.generation && status.replicas === 2
    })
    await api.delete(`${path}/deployments/simpletest.deployment`, {
      propagationPolicy: 'Orphan',
      preconditions: { uid: made['metadata'].uid },
    })
    await until('the deployment is gone', () =>
      gone(api, `${path}/deployments/simpletest.deployment`),
    )
    // When the owner is gone, all there was to do has been done.
    const [left, ...others] = (await api.get(`${path}/replicasets`))['items'] as Json[]
    assert.deepEqual([left?.['metadata'].name, others.length], [set, 0])
    assert.equal((await api.get(fixture.ns('pods')))['items'].length, 2)
    assert.deepEqual(left?.['metadata'].ownerReferences ?? [], [])
    await holds(
      'the replica set stays',
      async () => names(await api.get(`${path}/replicasets`)).includes(set),
      profile === 'fast' ? 2000 : ORPHANS_STAY_MS,
    )
    const { metadata } = await api.get(`${path}/replicasets/${set}`)
    assert.equal(
      (metadata.ownerReferences ?? []).some((r: Json) => r['controller'] === true),
      false,
    )
  },
)

mirror(
  '[sig-api-machinery] Garbage collector should keep the rc around until all its pods are deleted if the deleteOptions says so [Conformance] [Serial]',
  async (fixture) => {
    const { api, ns, until } = fixture
    const path = ns('replicationcontrollers/simpletest.rc')
    const rc = await controllerWithPods(fixture, 'simpletest.rc', MANY)
    // One pod is held back, so that the order can be seen however fast the rest is.
    const [held] = await podsOf(fixture, 'simpletest.rc')
    const heldPath = ns(`pods/${held?.['metadata'].name}`)
    await change(api, heldPath, (each) => {
      each['metadata'].finalizers = ['example.com/held']
    })
    await api.delete(path, {
      propagationPolicy: 'Foreground',
      preconditions: { uid: rc['metadata'].uid },
    })
    await until('only the held pod is left', async () => {
      const left = await podsOf(fixture, 'simpletest.rc')
      return left.length === 1
    })
    const waiting = await api.get(path)
    assert.notEqual(waiting['metadata'].deletionTimestamp, undefined)
    assert.deepEqual(waiting['metadata'].finalizers, ['foregroundDeletion'])
    await change(api, heldPath, (each) => {
      delete each['metadata'].finalizers
    })
    await until('the controller is gone', () => gone(api, path))
    assert.equal((await podsOf(fixture, 'simpletest.rc')).length, 0)
  },
)

mirror(
  "[sig-api-machinery] Garbage collector should not delete dependents that have both valid owner and owner that's waiting for dependents to be deleted [Conformance] [Serial]",
  async (fixture) => {
    const { api, ns, until } = fixture
    const replicas = MANY
    const first = await controllerWithPods(fixture, 'simpletest-rc-to-be-deleted', replicas)
    const second = await api.post(
      ns('replicationcontrollers'),
      replicationController('simpletest-rc-to-stay', { replicas: 0 }),
    )
    const both = (await podsOf(fixture, 'simpletest-rc-to-be-deleted')).slice(0, replicas / 2)
    for (const each of both) {
      await api.patch(
        ns(`pods/${each['metadata'].name}`),
        {
          metadata: {
            ownerReferences: [
              {
                apiVersion: 'v1',
                kind: 'ReplicationController',
                name: 'simpletest-rc-to-stay',
                uid: second['metadata'].uid,
              },
            ],
          },
        },
        'strategic-merge',
      )
    }
    await api.delete(ns('replicationcontrollers/simpletest-rc-to-be-deleted'), {
      propagationPolicy: 'Foreground',
      preconditions: { uid: first['metadata'].uid },
    })
    await until('the controller is gone', () =>
      gone(api, ns('replicationcontrollers/simpletest-rc-to-be-deleted')),
    )
    const left = await podsOf(fixture, 'simpletest-rc-to-be-deleted')
    assert.deepEqual(names({ items: left }).toSorted(), names({ items: both }).toSorted())
    for (const { metadata } of left) {
      assert.equal(metadata.deletionTimestamp, undefined)
      assert.deepEqual(
        metadata.ownerReferences.map((r: Json) => r['name']),
        ['simpletest-rc-to-stay'],
      )
    }
  },
)

mirror(
  '[sig-api-machinery] Garbage collector should not be blocked by dependency circle [Conformance]',
  async ({ api, ns, until }) => {
    const made: Json[] = []
    for (const name of ['pod1', 'pod2', 'pod3']) made.push(await api.post(ns('pods'), pod(name)))
    const ownedBy = async (child: string, owner: Json | undefined): Promise<void> => {
      const { ownerReferences } = (
        await api.patch(
          ns(`pods/${child}`),
          {
            metadata: {
              ownerReferences: [
                {
                  apiVersion: 'v1',
                  kind: 'Pod',
                  name: owner?.['metadata'].name,
                  uid: owner?.['metadata'].uid,
                  controller: true,
                  blockOwnerDeletion: true,
                },
              ],
            },
          },
          'strategic-merge',
        )
      )['metadata']
      assert.equal(ownerReferences.length, 1)
    }
    await ownedBy('pod1', made[2])
    await ownedBy('pod2', made[0])
    await ownedBy('pod3', made[1])
    await api.delete(ns('pods/pod1'), {
      propagationPolicy: 'Foreground',
      preconditions: { uid: made[0]?.['metadata'].uid },
    })
    await until(
      'all three are gone',
      async () => (await api.get(ns('pods')))['items'].length === 0,
      120_000,
    )
  },
)
