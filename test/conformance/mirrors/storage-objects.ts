import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { configMap, mirror, type Fixture } from '../mirror.ts'
import { change, frame, gone, pod, refused } from '../support.ts'

const immutable = async ({ api, ns }: Fixture, resource: string, made: Json): Promise<void> => {
  const path = ns(`${resource}/immutable`)
  const value = (text: string): string =>
    resource === 'secrets' ? Buffer.from(text).toString('base64') : text
  const data = { 'data-1': value('value-1') }
  await api.post(ns(resource), { ...made, data })
  await change(api, path, (object) => {
    object['data']['data-4'] = value('value-4')
  })
  const sealed = await change(api, path, (object) => {
    object['immutable'] = true
  })
  assert.equal(sealed['immutable'], true)
  // Neither data nor the seal itself can be changed, but metadata can.
  const now = await api.get(path)
  await refused(api, 'PUT', path, { ...now, data: { ...now['data'], 'data-4': value('no') } }, 422)
  const { immutable: _, ...unsealed } = now
  await refused(api, 'PUT', path, unsealed, 422)
  await refused(api, 'PUT', path, { ...now, immutable: false }, 422)
  const labelled = await change(api, path, (object) => {
    object['metadata'].labels = { label1: 'value1' }
  })
  assert.equal(labelled['metadata'].labels.label1, 'value1')
  await api.delete(path)
  assert.equal((await api.call('GET', path)).status, 404)
}

mirror(
  '[sig-storage] ConfigMap should be immutable if `immutable` field is set [Conformance]',
  (fixture) => immutable(fixture, 'configmaps', configMap('immutable')),
)

mirror(
  '[sig-storage] Secrets should be immutable if `immutable` field is set [Conformance]',
  (fixture) =>
    immutable(fixture, 'secrets', {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'immutable' },
    }),
)

mirror(
  '[sig-storage] CSIInlineVolumes should support CSIVolumeSource in Pod API [Conformance]',
  async ({ api, ns, until }) => {
    const path = ns('pods/pod-csi-inline')
    // Nobody asks whether there is such a driver.
    const sources = [
      { driver: 'e2e.example.com' },
      { driver: 'e2e.example.com', fsType: 'ext4', readOnly: true },
    ]
    const body = pod('pod-csi-inline', {
      container: {
        volumeMounts: sources.map((_, i) => ({ name: `vol${i}`, mountPath: `/mnt/vol${i}` })),
      },
      spec: { volumes: sources.map((csi, i) => ({ name: `vol${i}`, csi })) },
    })
    const made = await api.post(ns('pods'), body)
    await refused(api, 'POST', ns('pods'), body, 409)
    const read = await api.get(path)
    assert.equal(read['metadata'].uid, made['metadata'].uid)
    assert.deepEqual(
      read['spec'].volumes.flatMap((v: Json) => v['csi'] ?? []),
      sources,
    )
    assert.equal((await api.get(ns('pods')))['items'].length, 1)
    const patched = await api.patch(
      path,
      { metadata: { annotations: { patched: 'true' } } },
      'merge',
    )
    assert.equal(patched['metadata'].annotations.patched, 'true')
    await api.delete(path)
    await until('the pod is gone or going', async () => {
      const answer = await api.call('GET', path)
      return answer.status === 404 || answer.json['metadata'].deletionTimestamp !== undefined
    })
  },
)

mirror(
  '[sig-storage] VolumeAttachment Conformance should apply changes to a volumeattachment status [Conformance]',
  async ({ api, unique, cleanUp }) => {
    const path = '/apis/storage.k8s.io/v1/volumeattachments'
    const name = unique('va-e2e')
    await api.post(path, {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'VolumeAttachment',
      // The uid is the server's affair, whatever is said.
      metadata: { name, uid: name, labels: { [name]: 'attached' } },
      spec: {
        attacher: 'e2e-test.storage.k8s.io',
        source: { persistentVolumeName: unique('pv') },
        nodeName: 'no-such-node',
      },
    })
    cleanUp(() => api.delete(`${path}/${name}`))
    assert.equal((await api.get(`${path}/${name}`))['status'].attached, false)
    const patched = await api.patch(
      `${path}/${name}/status`,
      { status: { attached: true } },
      'merge',
    )
    assert.equal(patched['status'].attached, true)
    const read = await api.get(`${path}/${name}/status`)
    assert.equal(read['status'].attached, true)
    const updated = await change(
      api,
      `${path}/${name}`,
      (object) => {
        object['status'].attached = false
      },
      `${path}/${name}/status`,
    )
    assert.equal(updated['status'].attached, false)
    // Nothing of status goes through the main path.
    const main = await api.patch(`${path}/${name}`, { status: { attached: true } }, 'merge')
    assert.equal(main['status'].attached, false)
    await api.delete(`${path}/${name}`)
    assert.ok(await gone(api, `${path}/${name}`))
  },
)

const MODES = ['ReadWriteOnce', 'ReadOnlyMany', 'ReadWriteMany']
const volume = (name: string, className: string, labels: Json): Json => ({
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: { name, labels },
  spec: {
    accessModes: MODES,
    capacity: { storage: '2Gi' },
    persistentVolumeReclaimPolicy: 'Retain',
    storageClassName: className,
    csi: { driver: 'csi.example.com', volumeHandle: `e2e-${name}` },
    volumeMode: 'Filesystem',
  },
  status: {},
})

const claim = (name: string, className: string, labels: Json): Json => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { name, labels },
  spec: {
    accessModes: MODES,
    resources: { requests: { storage: '2Gi' } },
    storageClassName: className,
    volumeMode: 'Filesystem',
  },
  status: {},
})

/** A volume and a claim of the same class, that find each other in their own time. */
async function pair(
  fixture: Fixture,
): Promise<{ readonly pv: string; readonly pvc: string; readonly label: string }> {
  const { api, ns, unique, cleanUp } = fixture
  const label = unique('e2e-pv-pool')
  const className = unique('class')
  const [pv, pvc] = [unique('pv'), unique('pvc')]
  const labels = { [label]: 'yes' }
  await api.post('/api/v1/persistentvolumes', volume(pv, className, labels))
  cleanUp(() => api.delete(`/api/v1/persistentvolumes/${pv}`))
  await api.post(ns('persistentvolumeclaims'), claim(pvc, className, labels))
  return { pv, pvc, label }
}

async function boundPair(fixture: Fixture): ReturnType<typeof pair> {
  const { api, ns, until } = fixture
  const made = await pair(fixture)
  await until('both are bound', async () => {
    const [a, b] = await Promise.all([
      api.get(`/api/v1/persistentvolumes/${made.pv}`),
      api.get(ns(`persistentvolumeclaims/${made.pvc}`)),
    ])
    return a['status'].phase === 'Bound' && b['status'].phase === 'Bound'
  })
  return made
}

mirror(
  '[sig-storage] PersistentVolumes CSI Conformance should run through the lifecycle of a PV and a PVC [Conformance]',
  async (fixture) => {
    const { api, ns, until } = fixture
    const { pv, pvc, label } = await boundPair(fixture)
    const [pvPath, pvcPath] = [
      `/api/v1/persistentvolumes/${pv}`,
      ns(`persistentvolumeclaims/${pvc}`),
    ]
    const selector = { labelSelector: label }
    assert.equal((await api.get('/api/v1/persistentvolumes', selector))['items'].length, 1)
    assert.equal((await api.get('/api/v1/persistentvolumeclaims', selector))['items'].length, 1)
    const patched = await api.patch(
      pvPath,
      { metadata: { labels: { [pv]: 'patched' } } },
      'strategic-merge',
    )
    assert.equal(patched['metadata'].labels[pv], 'patched')
    assert.deepEqual(patched['metadata'].finalizers, ['kubernetes.io/pv-protection'])
    const patchedClaim = await api.patch(
      pvcPath,
      { metadata: { labels: { [pvc]: 'patched' } } },
      'strategic-merge',
    )
    assert.equal(patchedClaim['metadata'].labels[pvc], 'patched')
    assert.deepEqual(patchedClaim['metadata'].finalizers, ['kubernetes.io/pvc-protection'])
    assert.equal(patchedClaim['spec'].volumeName, pv)
    assert.equal(patchedClaim['status'].capacity.storage, '2Gi')
    await api.delete(pvcPath)
    await until('the claim is gone', () => gone(api, pvcPath))
    // At once: whether the volume is still bound then is a matter of luck.
    await api.delete(pvPath)
    await until('the volume is gone', () => gone(api, pvPath))

    // Again, with an update and a delete by collection.
    const second = await boundPair(fixture)
    const secondPv = `/api/v1/persistentvolumes/${second.pv}`
    const secondPvc = ns(`persistentvolumeclaims/${second.pvc}`)
    const updated = await change(api, secondPvc, (object) => {
      object['metadata'].labels[second.pvc] = 'updated'
    })
    assert.equal(updated['metadata'].labels[second.pvc], 'updated')
    const updatedPv = await change(api, secondPv, (object) => {
      object['metadata'].labels[second.pv] = 'updated'
    })
    assert.equal(updatedPv['metadata'].labels[second.pv], 'updated')
    await api.delete(ns('persistentvolumeclaims'), undefined, {
      labelSelector: `${second.pvc}=updated`,
    })
    await until('the claim is gone', () => gone(api, secondPvc))
    await api.delete('/api/v1/persistentvolumes', undefined, {
      labelSelector: `${second.pv}=updated`,
    })
    await until('the volume is gone', () => gone(api, secondPv))
  },
)

mirror(
  '[sig-storage] PersistentVolumes CSI Conformance should apply changes to a pv/pvc status [Conformance]',
  async (fixture) => {
    const { api, ns } = fixture
    const { pv, pvc } = await pair(fixture)
    const [pvPath, pvcPath] = [
      `/api/v1/persistentvolumes/${pv}`,
      ns(`persistentvolumeclaims/${pvc}`),
    ]
    const watchPv = await api.watch('/api/v1/persistentvolumes', {
      fieldSelector: `metadata.name=${pv}`,
    })
    const conditions = (type: string, reason: string): Json => ({
      conditions: [{ type, status: 'True', reason, message: `Set from an e2e test` }],
    })

    const claimRead = await api.get(`${pvcPath}/status`)
    assert.match(claimRead['status'].phase, /^(Pending|Bound)$/)
    const volumeRead = await api.get(`${pvPath}/status`)
    assert.match(volumeRead['status'].phase, /^(Pending|Available|Bound)$/)

    const claimPatched = await api.patch(
      `${pvcPath}/status`,
      {
        metadata: { annotations: { 'e2e-pvc': 'patched' } },
        status: conditions('StatusPatched', 'E2E patchStatus'),
      },
      'merge',
    )
    assert.ok(claimPatched['status'].conditions.some((c: Json) => c['type'] === 'StatusPatched'))
    const volumePatched = await api.patch(
      `${pvPath}/status`,
      { status: { message: 'StatusPatched', reason: 'E2E patchStatus' } },
      'merge',
    )
    assert.deepEqual(
      [volumePatched['status'].message, volumePatched['status'].reason],
      ['StatusPatched', 'E2E patchStatus'],
    )
    await frame(watchPv, 'MODIFIED', pv, (object) => object['status'].reason === 'E2E patchStatus')

    const claimUpdated = await change(
      api,
      pvcPath,
      (object) => {
        object['status'].conditions.push({
          type: 'StatusUpdated',
          status: 'True',
          reason: 'E2E updateStatus',
          message: 'Set from an e2e test',
          lastProbeTime: null,
          lastTransitionTime: null,
        })
      },
      `${pvcPath}/status`,
    )
    assert.ok(claimUpdated['status'].conditions.some((c: Json) => c['type'] === 'StatusUpdated'))
    const volumeUpdated = await change(
      api,
      pvPath,
      (object) => {
        Object.assign(object['status'], { message: 'StatusUpdated', reason: 'E2E updateStatus' })
      },
      `${pvPath}/status`,
    )
    assert.equal(volumeUpdated['status'].message, 'StatusUpdated')
    watchPv.stop()
  },
)
