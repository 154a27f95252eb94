import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { mirror, type Fixture } from '../mirror.ts'
import {
  AGNHOST,
  AGNHOST_BEFORE,
  change,
  conditionOf,
  deployment,
  frame,
  gone,
  names,
  pod,
  readyPods,
  replicaSet,
  scaledTo,
  scalePatch,
} from '../support.ts'

const MISSING = 'registry.k8s.io/e2e-test-images/webserver:404'
const REVISION = 'deployment.kubernetes.io/revision'

const at = ({ namespace }: Fixture): { readonly deployments: string; readonly sets: string } => ({
  deployments: `/apis/apps/v1/namespaces/${namespace}/deployments`,
  sets: `/apis/apps/v1/namespaces/${namespace}/replicasets`,
})

/** Everything of the newest template, nothing of older ones. */
const complete = (fixture: Fixture, name: string): Promise<Json> =>
  fixture.until(
    `${name} is complete`,
    async () => {
      const found = await fixture.api.get(`${at(fixture).deployments}/${name}`)
      const { replicas } = found['spec']
      const status = found['status'] ?? {}
      return (
        status.observedGeneration >= found['metadata'].generation &&
        (status.updatedReplicas ?? 0) === replicas &&
        (status.replicas ?? 0) === replicas &&
        (status.availableReplicas ?? 0) === replicas &&
        found
      )
    },
    300_000,
  )

const ownSets = async (fixture: Fixture, owner: Json): Promise<Json[]> =>
  (await fixture.api.get(at(fixture).sets))['items'].filter((set: Json) =>
    (set['metadata'].ownerReferences ?? []).some(
      (ref: Json) => ref['uid'] === owner['metadata'].uid,
    ),
  )

const revisionIs = async (fixture: Fixture, name: string, revision: string): Promise<void> => {
  await fixture.until(`${name} is at revision ${revision}`, async () => {
    const { metadata } = await fixture.api.get(`${at(fixture).deployments}/${name}`)
    return metadata.annotations?.[REVISION] === revision
  })
}

mirror(
  '[sig-apps] Deployment RollingUpdateDeployment should delete old pods and create new ones [Conformance]',
  async (fixture) => {
    const { api } = fixture
    const { deployments, sets } = at(fixture)
    const labels = { name: 'sample-pod' }
    await api.post(
      sets,
      replicaSet('test-rolling-update-controller', {
        labels,
        container: { image: AGNHOST_BEFORE },
        metadata: { annotations: { [REVISION]: '3546343826724305832' } },
      }),
    )
    await readyPods(fixture, 'name=sample-pod', 1)
    await api.post(deployments, deployment('test-rolling-update-deployment', { labels }))
    await revisionIs(fixture, 'test-rolling-update-deployment', '3546343826724305833')
    const made = await complete(fixture, 'test-rolling-update-deployment')
    const [old] = (await ownSets(fixture, made)).filter(
      (set) => set['metadata'].name === 'test-rolling-update-controller',
    )
    assert.ok(old, 'the old set is adopted')
    assert.equal(old['spec'].replicas, 0)
    assert.equal((await ownSets(fixture, made)).length, 2)
    const [found] = await readyPods(fixture, 'name=sample-pod', 1)
    assert.equal(found?.['spec'].containers[0].image, AGNHOST)
  },
)

mirror(
  '[sig-apps] Deployment RecreateDeployment should delete old pods and create new ones [Conformance]',
  async (fixture) => {
    const { api } = fixture
    const { deployments } = at(fixture)
    const name = 'test-recreate-deployment'
    const path = `${deployments}/${name}`
    await api.post(
      deployments,
      deployment(name, {
        container: { image: AGNHOST_BEFORE },
        spec: { strategy: { type: 'Recreate' } },
      }),
    )
    await complete(fixture, name)
    const watching = await api.watch(fixture.ns('pods'), { labelSelector: `name=${name}` })
    await change(api, path, (object) => {
      object['spec'].template.spec.containers[0].image = AGNHOST
    })
    await revisionIs(fixture, name, '2')
    await complete(fixture, name)
    watching.stop()
    // A pod of the new template begins only when no old one runs.
    const live = new Map<string, string>()
    for (const { type, object } of watching.frames) {
      const { name: podName } = object['metadata']
      const image = String(object['spec'].containers[0].image)
      if (type === 'DELETED') live.delete(podName)
      else live.set(podName, image)
      if (type === 'ADDED' && image === AGNHOST)
        assert.equal([...live.values()].includes(AGNHOST_BEFORE), false, 'old and new together')
    }
  },
)

mirror(
  '[sig-apps] Deployment deployment should delete old replica sets [Conformance]',
  async (fixture) => {
    const { api, until } = fixture
    const { deployments, sets } = at(fixture)
    const labels = { name: 'cleanup-pod' }
    await api.post(
      sets,
      replicaSet('test-cleanup-controller', { labels, container: { image: AGNHOST_BEFORE } }),
    )
    await readyPods(fixture, 'name=cleanup-pod', 1)
    const watching = await api.watch(fixture.ns('pods'), { labelSelector: 'name=cleanup-pod' })
    const made = await api.post(
      deployments,
      deployment('test-cleanup-deployment', { labels, spec: { revisionHistoryLimit: 0 } }),
    )
    await until('the old set is gone', () => gone(api, `${sets}/test-cleanup-controller`))
    await complete(fixture, 'test-cleanup-deployment')
    assert.equal((await ownSets(fixture, made)).length, 1)
    const created = watching.frames.filter(
      ({ type, object }) =>
        type === 'ADDED' && object['spec'].containers[0].image !== AGNHOST_BEFORE,
    )
    assert.equal(created.length, 1)
    watching.stop()
  },
)

mirror(
  '[sig-apps] Deployment deployment should support rollover [Conformance]',
  async (fixture) => {
    const { api, until } = fixture
    const { deployments, sets } = at(fixture)
    const labels = { name: 'rollover-pod' }
    const name = 'test-rollover-deployment'
    await api.post(
      sets,
      replicaSet('test-rollover-controller', { labels, container: { image: AGNHOST_BEFORE } }),
    )
    await readyPods(fixture, 'name=rollover-pod', 1)
    const made = await api.post(
      deployments,
      deployment(name, {
        labels,
        container: {
          name: 'redis-slave',
          image: 'gcr.io/google_samples/gb-redisslave:nonexistent',
        },
        spec: {
          minReadySeconds: 10,
          strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
        },
      }),
    )
    await revisionIs(fixture, name, '1')
    await until('the status is observed', async () => {
      const { metadata, status } = await api.get(`${deployments}/${name}`)
      return status?.observedGeneration >= metadata.generation
    })
    const first = (await ownSets(fixture, made)).find(
      (set) => set['metadata'].name !== 'test-rollover-controller',
    )
    // Another template, before the first has come up.
    await change(api, `${deployments}/${name}`, (object) => {
      Object.assign(object['spec'].template.spec.containers[0], { name: 'agnhost', image: AGNHOST })
    })
    await revisionIs(fixture, name, '2')
    await complete(fixture, name)
    for (const set of await ownSets(fixture, made)) {
      const isNew =
        set['spec'].template.spec.containers[0].image === AGNHOST &&
        set['metadata'].name !== 'test-rollover-controller'
      assert.equal(set['spec'].replicas, isNew ? 1 : 0, set['metadata'].name)
    }
    assert.ok(first)
    assert.equal((await api.get(`${sets}/${first['metadata'].name}`))['status'].replicas ?? 0, 0)
  },
)

mirror(
  '[sig-apps] Deployment deployment should support proportional scaling [Conformance]',
  async (fixture) => {
    const { api, until, ns } = fixture
    const { deployments } = at(fixture)
    const name = 'webserver-deployment'
    const path = `${deployments}/${name}`
    const made = await api.post(
      deployments,
      deployment(name, {
        replicas: 10,
        container: { image: AGNHOST },
        spec: {
          strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 3, maxUnavailable: 2 } },
        },
      }),
    )
    await readyPods(fixture, `name=${name}`, 10)
    await complete(fixture, name)
    await change(api, path, (object) => {
      object['spec'].template.spec.containers[0].image = MISSING
    })
    const setOf = async (image: string): Promise<Json | undefined> =>
      (await ownSets(fixture, made)).find(
        (set) => set['spec'].template.spec.containers[0].image === image,
      )
    const sizes = (old: number, now: number): Promise<boolean> =>
      until(
        `the sets have ${old} and ${now}`,
        async () => {
          const [a, b] = await Promise.all([setOf(AGNHOST), setOf(MISSING)])
          return a?.['spec'].replicas === old && b?.['spec'].replicas === now
        },
        120_000,
      )
    // Two may be missing and three more may be there: 8 old, and 5 that never come up.
    await sizes(8, 5)
    await until('eight are available', async () => {
      const { status } = await api.get(path)
      return status.availableReplicas === 8 && status.replicas === 13
    })
    await change(api, path, (object) => {
      object['spec'].replicas = 30
    })
    // 33 in all, shared out as 8 is to 5.
    await sizes(20, 13)
    await until(
      'so many pods are there',
      async () => (await api.get(ns('pods')))['items'].length === 33,
    )
  },
)

mirror(
  '[sig-apps] Deployment Deployment should have a working scale subresource [Conformance]',
  async (fixture) => {
    const { api } = fixture
    const { deployments } = at(fixture)
    const path = `${deployments}/test-new-deployment`
    await api.post(deployments, deployment('test-new-deployment'))
    await complete(fixture, 'test-new-deployment')
    const scale = await api.get(`${path}/scale`)
    assert.deepEqual([scale['kind'], scale['spec'].replicas], ['Scale', 1])
    assert.equal(scale['status'].replicas, 1)
    assert.equal(scale['status'].selector, 'name=test-new-deployment')
    const scaled = await api.put(`${path}/scale`, scaledTo(scale, 2))
    assert.equal(scaled['spec'].replicas, 2)
    assert.equal((await api.get(path))['spec'].replicas, 2)
    const patched = await api.patch(`${path}/scale`, scalePatch(4), 'strategic-merge')
    assert.equal(patched['spec'].replicas, 4)
    assert.equal((await api.get(path))['spec'].replicas, 4)
  },
)

const lifecycle = async (fixture: Fixture): Promise<void> => {
  const { api, namespace } = fixture
  const { deployments } = at(fixture)
  const name = 'test-deployment'
  const path = `${deployments}/${name}`
  const selector = { labelSelector: 'test-deployment-static=true' }
  const labels = { 'test-deployment-static': 'true' }
  const watching = await api.watch(deployments, selector)
  await api.post(
    deployments,
    deployment(name, { replicas: 2, labels, podSpec: { terminationGracePeriodSeconds: 1 } }),
  )
  await frame(watching, 'ADDED', name)
  await frame(watching, 'MODIFIED', name, (o) => o['status']?.readyReplicas === 2)
  await api.patch(
    path,
    {
      metadata: { labels: { 'test-deployment': 'patched' } },
      spec: {
        replicas: 1,
        template: {
          spec: {
            terminationGracePeriodSeconds: 0,
            containers: [{ name: 'c', image: AGNHOST_BEFORE }],
          },
        },
      },
    },
    'strategic-merge',
  )
  await frame(
    watching,
    'MODIFIED',
    name,
    (o) =>
      o['metadata'].labels['test-deployment'] === 'patched' &&
      o['spec'].template.spec.containers[0].image === AGNHOST_BEFORE,
  )
  await complete(fixture, name)
  const everywhere = await api.get('/apis/apps/v1/deployments', selector)
  const listed = everywhere['items'].find((d: Json) => d['metadata'].namespace === namespace)
  assert.equal(listed.metadata.labels['test-deployment'], 'patched')
  assert.equal(listed.spec.replicas, 1)

  // As it was made, without a resourceVersion: the replacement is unconditional.
  const again = deployment(name, {
    replicas: 2,
    labels,
    podSpec: { terminationGracePeriodSeconds: 1 },
    metadata: { labels: { ...labels, 'test-deployment': 'updated' }, creationTimestamp: null },
  })
  const updated = await api.put(path, { ...again, status: {} })
  assert.equal(updated['metadata'].labels['test-deployment'], 'updated')
  await frame(
    watching,
    'MODIFIED',
    name,
    (o) => o['status']?.readyReplicas === 2 && o['status'].updatedReplicas === 2,
  )

  // Status by patch, without touching the spec; the controller says what is so again.
  const status = await api.patch(
    `${path}/status`,
    { metadata: { labels: { 'test-deployment': 'patched-status' } }, status: { readyReplicas: 0 } },
    'strategic-merge',
  )
  assert.equal(status['spec'].replicas, 2)
  assert.equal(status['metadata'].labels['test-deployment'], 'updated', 'labels are no status')
  const read = await api.get(`${path}/status`)
  assert.equal(read['metadata'].name, name)
  await fixture.until('the status is right again', async () => {
    const found = await api.get(path)
    return found['status'].readyReplicas === 2
  })
  await api.delete(deployments, undefined, selector)
  await frame(watching, 'DELETED', name)
  watching.stop()
}

mirror('[sig-apps] Deployment should run the lifecycle of a Deployment [Conformance]', lifecycle)

/** Status read, replaced and patched, with conditions of the test's own, seen by a watch. */
export async function statusEndpoints(
  { api }: Fixture,
  collection: string,
  name: string,
  selector: string,
): Promise<void> {
  const path = `${collection}/${name}`
  const condition = (type: string): Json => ({
    type,
    status: 'True',
    reason: 'E2E',
    message: 'Set from e2e test',
  })
  const read = await api.get(`${path}/status`)
  assert.equal(read['metadata'].name, name)
  const watching = await api.watch(collection, { labelSelector: selector })
  const updated = await change(
    api,
    path,
    (object) => {
      object['status'].conditions = [
        ...(object['status'].conditions ?? []),
        condition('StatusUpdate'),
      ]
    },
    `${path}/status`,
  )
  assert.equal(conditionOf(updated, 'StatusUpdate')?.['reason'], 'E2E')
  await frame(
    watching,
    'MODIFIED',
    name,
    (o) => conditionOf(o, 'StatusUpdate')?.['message'] === 'Set from e2e test',
  )
  const patched = await api.patch(
    `${path}/status`,
    { status: { conditions: [{ type: 'StatusPatched', status: 'True' }] } },
    'merge',
  )
  assert.equal(conditionOf(patched, 'StatusPatched')?.['status'], 'True')
  await frame(
    watching,
    'MODIFIED',
    name,
    (o) => conditionOf(o, 'StatusPatched')?.['status'] === 'True',
  )
  watching.stop()
}

mirror(
  '[sig-apps] Deployment should validate Deployment Status endpoints [Conformance]',
  async (fixture) => {
    const { deployments } = at(fixture)
    await fixture.api.post(
      deployments,
      deployment('test-deployment-status', { labels: { e2e: 'testing' } }),
    )
    await complete(fixture, 'test-deployment-status')
    await statusEndpoints(fixture, deployments, 'test-deployment-status', 'e2e=testing')
  },
)

mirror(
  '[sig-apps] ReplicaSet should validate Replicaset Status endpoints [Conformance]',
  async (fixture) => {
    const { sets } = at(fixture)
    await fixture.api.post(sets, replicaSet('test-rs', { labels: { app: 'test-rs' } }))
    await readyPods(fixture, 'app=test-rs', 1)
    await statusEndpoints(fixture, sets, 'test-rs', 'app=test-rs')
  },
)

mirror(
  '[sig-apps] ReplicaSet Replicaset should have a working scale subresource [Conformance]',
  async (fixture) => {
    const { api } = fixture
    const { sets } = at(fixture)
    await api.post(sets, replicaSet('test-rs', { labels: { app: 'test-rs' } }))
    await readyPods(fixture, 'app=test-rs', 1)
    const scale = await api.get(`${sets}/test-rs/scale`)
    assert.equal(scale['spec'].replicas, 1)
    assert.equal(scale['status'].selector, 'app=test-rs')
    const scaled = await api.put(`${sets}/test-rs/scale`, scaledTo(scale, 2))
    assert.equal(scaled['spec'].replicas, 2)
    assert.equal((await api.get(`${sets}/test-rs`))['spec'].replicas, 2)
    await api.patch(`${sets}/test-rs/scale`, scalePatch(4), 'strategic-merge')
    assert.equal((await api.get(`${sets}/test-rs`))['spec'].replicas, 4)
  },
)

mirror('[sig-apps] ReplicaSet Replace and Patch tests [Conformance]', async (fixture) => {
  const { api, until } = fixture
  const { sets } = at(fixture)
  const path = `${sets}/test-rs`
  await api.post(sets, replicaSet('test-rs', { labels: { 'sample-pod': 'httpd' } }))
  await readyPods(fixture, 'sample-pod=httpd', 1)
  await change(api, `${path}/scale`, (object) => {
    object['spec'].replicas = 2
  })
  await readyPods(fixture, 'sample-pod=httpd', 2)
  const watching = await api.watch(sets, { labelSelector: 'sample-pod=httpd' })
  await api.patch(
    path,
    {
      metadata: { labels: { 'test-rs': 'patched' } },
      spec: {
        replicas: 3,
        template: {
          spec: {
            terminationGracePeriodSeconds: 0,
            containers: [{ name: 'c', image: AGNHOST_BEFORE }],
          },
        },
      },
    },
    'strategic-merge',
  )
  await frame(watching, 'MODIFIED', 'test-rs', (o) => o['metadata'].labels['test-rs'] === 'patched')
  await until('three are ready', async () => (await api.get(path))['status'].readyReplicas === 3)
  const found = await api.get(path)
  assert.equal(found['spec'].template.spec.containers[0].image, AGNHOST_BEFORE)
  assert.equal(found['spec'].template.spec.terminationGracePeriodSeconds, 0)
  watching.stop()
})

mirror(
  '[sig-apps] ReplicaSet should list and delete a collection of ReplicaSets [Conformance]',
  async (fixture) => {
    const { api } = fixture
    const { sets } = at(fixture)
    const labels = { e2e: fixture.unique('collection') }
    await api.post(sets, replicaSet('test-rs', { replicas: 3, labels }))
    const selector = { labelSelector: `e2e=${labels.e2e}` }
    await readyPods(fixture, selector.labelSelector, 3)
    const everywhere = (await api.get('/apis/apps/v1/replicasets', selector))['items'].filter(
      (set: Json) => set['metadata'].namespace === fixture.namespace,
    )
    assert.equal(everywhere.length, 1)
    await api.delete(sets, { gracePeriodSeconds: 1 }, selector)
    assert.equal((await api.get('/apis/apps/v1/replicasets', selector))['items'].length, 0)
  },
)

mirror(
  '[sig-apps] ReplicaSet should adopt matching pods on creation and release no longer matching pods [Conformance]',
  async (fixture) => {
    const { api, ns, until } = fixture
    const { sets } = at(fixture)
    const name = 'pod-adoption-release'
    await api.post(ns('pods'), pod(name, { metadata: { labels: { name } } }))
    await readyPods(fixture, `name=${name}`, 1)
    const set = await api.post(sets, replicaSet(name))
    const isOwned = (found: Json): boolean =>
      (found['metadata'].ownerReferences ?? []).some(
        (ref: Json) => ref['controller'] === true && ref['uid'] === set['metadata'].uid,
      )
    await until('the orphan is adopted', async () => isOwned(await api.get(ns(`pods/${name}`))))
    await change(api, ns(`pods/${name}`), (object) => {
      object['metadata'].labels['name'] = 'not-matching-name'
    })
    await until('it is released', async () => !isOwned(await api.get(ns(`pods/${name}`))))
    assert.equal((await readyPods(fixture, `name=${name}`, 1)).length, 1)
    assert.ok(names(await api.get(ns('pods'))).includes(name))
  },
)
