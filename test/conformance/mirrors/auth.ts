import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { mirror } from '../mirror.ts'
import { everyOperation } from '../resource.ts'
import { change, frame, names, pod, servedVersion } from '../support.ts'
import { labelled } from './resources.ts'
import { CERTIFICATE } from '../certificate.ts'

mirror(
  '[sig-auth] ServiceAccounts should allow opting out of API token automount [Conformance]',
  async ({ api, ns }) => {
    const account = (name: string, automount?: boolean): Promise<Json> =>
      api.post(ns('serviceaccounts'), {
        apiVersion: 'v1',
        kind: 'ServiceAccount',
        metadata: { name },
        ...(automount === undefined ? {} : { automountServiceAccountToken: automount }),
      })
    await account('default-mount')
    await account('mount', true)
    await account('nomount', false)
    const cases: readonly (readonly [string, boolean | undefined, boolean])[] = [
      ['default-mount', undefined, true],
      ['default-mount', true, true],
      ['default-mount', false, false],
      ['mount', undefined, true],
      ['mount', true, true],
      ['mount', false, false],
      ['nomount', undefined, false],
      ['nomount', true, true],
      ['nomount', false, false],
    ]
    for (const [i, [serviceAccountName, own, expected]] of cases.entries()) {
      const made = await api.post(
        ns('pods'),
        pod(`pod-${i}`, {
          spec: {
            serviceAccountName,
            ...(own === undefined ? {} : { automountServiceAccountToken: own }),
          },
        }),
      )
      const mounts: Json[] = made['spec'].containers[0].volumeMounts ?? []
      const mounted = mounts.some(
        (each) => each['mountPath'] === '/var/run/secrets/kubernetes.io/serviceaccount',
      )
      assert.equal(mounted, expected, `${serviceAccountName} ${own}`)
    }
  },
)

mirror(
  '[sig-auth] ServiceAccounts should update a ServiceAccount [Conformance]',
  async ({ api, ns, unique }) => {
    const name = unique('e2e-sa')
    const created = await api.post(ns('serviceaccounts'), {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name },
    })
    assert.equal(created['automountServiceAccountToken'], undefined)
    const updated = await change(api, ns(`serviceaccounts/${name}`), (object) => {
      object['automountServiceAccountToken'] = true
    })
    assert.equal(updated['automountServiceAccountToken'], true)
    await api.delete(ns(`serviceaccounts/${name}`))
  },
)

const AUTHORIZATION = '/apis/authorization.k8s.io/v1'

mirror(
  '[sig-auth] SubjectReview should support SubjectReview API operations [Conformance]',
  async ({ api, ns, namespace, unique, cleanUp }) => {
    const name = unique('e2e-test')
    await api.post(ns('serviceaccounts'), {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name },
    })
    const user = `system:serviceaccount:${namespace}:${name}`
    const resourceAttributes = {
      namespace,
      verb: 'list',
      group: '',
      version: 'v1',
      resource: 'configmaps',
    }
    const review = async (kind: string, path: string): Promise<Json> => {
      const answer = await api.post(path, {
        apiVersion: 'authorization.k8s.io/v1',
        kind,
        ...(kind === 'LocalSubjectAccessReview' ? { metadata: { namespace } } : {}),
        spec: { resourceAttributes, user },
      })
      assert.equal(answer['spec'].user, user)
      return answer['status']
    }
    const asked = [
      ['SubjectAccessReview', `${AUTHORIZATION}/subjectaccessreviews`],
      [
        'LocalSubjectAccessReview',
        `${AUTHORIZATION}/namespaces/${namespace}/localsubjectaccessreviews`,
      ],
    ] as const
    /** What the account itself gets. */
    const asAccount = (): Promise<number> =>
      api
        .call('GET', ns('configmaps'), { headers: { 'impersonate-user': user } })
        .then(({ status }) => status)
    for (const [kind, path] of asked) {
      const status = await review(kind, path)
      assert.equal(status['allowed'], false)
    }
    assert.equal(await asAccount(), 403)
    await api.post(`/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/rolebindings`, {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' },
      subjects: [{ kind: 'ServiceAccount', name, namespace }],
    })
    cleanUp(() =>
      api.delete(`/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/rolebindings/${name}`),
    )
    for (const [kind, path] of asked) assert.equal((await review(kind, path))['allowed'], true)
    assert.equal(await asAccount(), 200)
    // One namespace cannot be asked about by way of another.
    const other = await api.call('POST', asked[1][1], {
      body: {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'LocalSubjectAccessReview',
        metadata: { namespace },
        spec: { resourceAttributes: { ...resourceAttributes, namespace: 'default' }, user },
      },
    })
    assert.equal(other.status, 422)
  },
)

mirror(
  '[sig-auth] [FeatureGate:ClusterTrustBundle] [FeatureGate:ClusterTrustBundleProjection] CRUD Tests certificates.k8s.io/v1 ClusterTrustBundles [MinimumKubeletVersion:1.37] [Conformance]',
  async (fixture) => {
    const { api, unique, cleanUp } = fixture
    const groupVersion = await servedVersion(fixture, 'certificates.k8s.io', 'clustertrustbundles')
    await everyOperation(fixture, {
      groupVersion,
      resource: 'clustertrustbundles',
      kind: 'ClusterTrustBundle',
      namespaced: false,
      body: { spec: { trustBundle: CERTIFICATE } },
      spec: labelled('test.clustertrustbundle.example.com'),
    })
    const path = `/apis/${groupVersion}/clustertrustbundles`
    const mark = unique('bundle')
    const selector = { labelSelector: `mark=${mark}` }
    cleanUp(() => api.delete(path, undefined, selector))
    const bundle = (name: string, signerName?: string): Json => ({
      apiVersion: groupVersion,
      kind: 'ClusterTrustBundle',
      metadata: { name, labels: { mark } },
      spec: { ...(signerName === undefined ? {} : { signerName }), trustBundle: CERTIFICATE },
    })
    const signer = 'example.com/signer'
    const name = `example.com:signer:${mark}`
    const created = await api.post(path, bundle(name, signer))
    assert.deepEqual(created['spec'], { signerName: signer, trustBundle: CERTIFICATE })
    const plain = await api.post(path, bundle(mark))
    assert.equal(plain['spec'].signerName, undefined)
    const wrong = await api.call('POST', path, { body: bundle(`${mark}-other`, signer) })
    assert.equal(wrong.status, 422)
    const garbage = await api.call('POST', path, {
      body: { ...bundle(`${mark}-garbage`), spec: { trustBundle: 'no certificate' } },
    })
    assert.equal(garbage.status, 422)
    assert.equal((await api.get(`${path}/${name}`))['metadata'].uid, created['metadata'].uid)
    assert.deepEqual(names(await api.get(path, selector)).toSorted(), [name, mark].toSorted())
    assert.deepEqual(
      names(await api.get(path, { ...selector, fieldSelector: `spec.signerName=${signer}` })),
      [name],
    )
    const watching = await api.watch(path, selector)
    await frame(watching, 'ADDED', name)
    const updated = await change(api, `${path}/${name}`, (object) => {
      object['metadata'].labels['updated'] = 'yes'
    })
    assert.equal(updated['metadata'].labels['updated'], 'yes')
    await frame(watching, 'MODIFIED', name)
    const patched = await api.patch(
      `${path}/${name}`,
      { metadata: { annotations: { patched: 'yes' } } },
      'merge',
    )
    assert.equal(patched['metadata'].annotations.patched, 'yes')
    const applied = await api.patch(
      `${path}/${name}`,
      {
        apiVersion: groupVersion,
        kind: 'ClusterTrustBundle',
        metadata: { name, annotations: { applied: 'yes' } },
      },
      'apply',
      { fieldManager: 'mirror', force: true },
    )
    assert.equal(applied['metadata'].annotations.applied, 'yes')
    await api.delete(`${path}/${name}`)
    await frame(watching, 'DELETED', name)
    await api.delete(path, undefined, selector)
    await frame(watching, 'DELETED', mark)
    watching.stop()
  },
)

const lifetimePod = (maxExpirationSeconds: number): Json =>
  pod('podcert', {
    container: { volumeMounts: [{ name: 'cert', mountPath: '/var/run/cert' }] },
    spec: {
      volumes: [
        {
          name: 'cert',
          projected: {
            sources: [
              {
                podCertificate: {
                  signerName: 'example.com/e2e-signer',
                  keyType: 'ED25519',
                  maxExpirationSeconds,
                  credentialBundlePath: 'credentialbundle.pem',
                },
              },
            ],
          },
        },
      ],
    },
  })

const LIFETIME =
  '[sig-auth] Projected PodCertificate [FeatureGate:PodCertificateRequest] [FeatureGate:ClusterTrustBundle] [FeatureGate:ClusterTrustBundleProjection] MaxExpirationSeconds validations should reject pod creation when MaxExpirationSeconds'
for (const [what, seconds, message] of [
  ['exceeds maximum (91d)', 7_862_401, /must be <= 7862400|must be less than or equal to 7862400/],
  ['is less than minimum (1h)', 3599, /must be >= 3600|must be greater than or equal to 3600/],
] as const) {
  mirror(`${LIFETIME} ${what} [MinimumKubeletVersion:1.37] [Conformance]`, async (fixture) => {
    const { api, ns } = fixture
    await servedVersion(fixture, 'certificates.k8s.io', 'podcertificaterequests')
    const answer = await api.call('POST', ns('pods'), { body: lifetimePod(seconds) })
    assert.equal(answer.status, 422, answer.text)
    assert.match(answer.json['message'], message)
  })
}
