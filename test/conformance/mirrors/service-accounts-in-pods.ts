/** [sig-auth] What a pod has of its service account, and that it is good. */
import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import {
  agnhost,
  createPod,
  execIn,
  finished,
  logsOf,
  outputsOf,
  podOf,
  running,
  shell,
} from '../containers.ts'
import { mirror, type Fixture } from '../mirror.ts'

const FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount'

const account = async ({ api, ns, unique }: Fixture): Promise<string> => {
  const name = unique('mount-test')
  await api.post(ns('serviceaccounts'), {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name },
  })
  return name
}

/** Whose token it is, as the API says. */
async function ownerOf({ api }: Fixture, token: string, audiences?: string[]): Promise<Json> {
  const { status } = (await api.post('/apis/authentication.k8s.io/v1/tokenreviews', {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenReview',
    spec: { token, ...(audiences === undefined ? {} : { audiences }) },
  })) as { status: Json }
  assert.equal(status['authenticated'], true, JSON.stringify(status))
  return status['user'] as Json
}

mirror(
  '[sig-auth] ServiceAccounts should mount an API token into pods [Conformance]',
  async (fixture) => {
    const { api, ns, namespace } = fixture
    const serviceAccountName = await account(fixture)
    const { metadata } = (await createPod(
      fixture,
      podOf(fixture, shell('sleep 600'), { spec: { serviceAccountName } }),
    )) as { metadata: Json }
    const name = String(metadata['name'])
    await running(fixture, name)
    const file = (which: string): Promise<string> =>
      execIn(fixture, name, ['cat', `${FOLDER}/${which}`], 'test-container')
    const user = await ownerOf(fixture, await file('token'))
    assert.equal(user['username'], `system:serviceaccount:${namespace}:${serviceAccountName}`)
    assert.ok(user['groups'].includes('system:serviceaccounts'))
    assert.ok(user['groups'].includes(`system:serviceaccounts:${namespace}`))
    assert.deepEqual(user['extra']['authentication.kubernetes.io/pod-name'], [name])
    const root = await api.get(ns('configmaps/kube-root-ca.crt'))
    assert.equal(await file('ca.crt'), root['data']['ca.crt'])
    assert.equal(await file('namespace'), namespace)
  },
)

mirror(
  '[sig-auth] ServiceAccounts should mount projected service account token [Conformance]',
  async (fixture) => {
    const { namespace } = fixture
    const path = '/test-volume/token'
    const pod = podOf(
      fixture,
      agnhost(
        ['mounttest', `--file_content=${path}`, `--file_mode=${path}`, `--file_owner=${path}`],
        {
          volumeMounts: [{ name: 'token', mountPath: '/test-volume' }],
        },
      ),
      {
        spec: {
          volumes: [
            {
              name: 'token',
              projected: { sources: [{ serviceAccountToken: { path: 'token' } }] },
            },
          ],
        },
      },
    )
    const [output = ''] = Object.values(await outputsOf(fixture, pod))
    assert.match(output, new RegExp(`mode of file "${path}": -rw-r--r--`))
    assert.match(output, new RegExp(`owner UID of "${path}": 0`))
    const token = new RegExp(`content of file "${path}": (\\S+)`).exec(output)?.[1] ?? ''
    const claims = JSON.parse(
      Buffer.from(token.split('.')[1] ?? '', 'base64url').toString(),
    ) as Json
    assert.equal(claims['sub'], `system:serviceaccount:${namespace}:default`)
    assert.equal(claims['kubernetes.io'].pod.name, pod['metadata'].name)
  },
)

mirror(
  '[sig-auth] ServiceAccounts ServiceAccountIssuerDiscovery should support OIDC discovery of service account issuer [Conformance]',
  async (fixture) => {
    const audience = 'oidc-discovery-test'
    const token = '/var/run/secrets/tokens/sa-token'
    const pod = podOf(
      fixture,
      agnhost(
        [
          'test-service-account-issuer-discovery',
          '--in-cluster-discovery',
          '--token-path',
          token,
          '--audience',
          audience,
        ],
        { volumeMounts: [{ name: 'token', mountPath: '/var/run/secrets/tokens' }] },
      ),
      {
        spec: {
          serviceAccountName: await account(fixture),
          volumes: [
            {
              name: 'token',
              projected: {
                sources: [
                  {
                    serviceAccountToken: { path: 'sa-token', expirationSeconds: 7200, audience },
                  },
                ],
              },
            },
          ],
        },
      },
    )
    const { metadata } = (await createPod(fixture, pod)) as { metadata: Json }
    const done = await finished(fixture, metadata['name'])
    const output = await logsOf(fixture, metadata['name'])
    assert.equal(done['status'].phase, 'Succeeded', output)
    assert.match(output, /OK: Got valid claims from token!/)
  },
)
