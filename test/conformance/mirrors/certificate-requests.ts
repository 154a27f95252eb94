import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { mirror } from '../mirror.ts'
import { names } from '../support.ts'
import { CERTIFICATE } from '../certificate.ts'

const GROUP_VERSION = 'certificates.k8s.io/v1'
const PATH = `/apis/${GROUP_VERSION}/certificatesigningrequests`
const RESOURCES = ['', '/approval', '/status'].map((sub) => `certificatesigningrequests${sub}`)

const said = (type: string): Json => ({
  type,
  status: 'True',
  reason: 'E2E',
  message: 'Set from an e2e test',
  lastUpdateTime: null,
  lastTransitionTime: null,
})
const typesOf = ({ status }: Json): string[] =>
  (status['conditions'] as Json[]).map((each) => each['type'])

mirror(
  '[sig-auth] Certificates API [Privileged:ClusterAdmin] should support CSR API operations [Conformance]',
  async ({ api, unique, cleanUp }) => {
    const { resources } = (await api.get(`/apis/${GROUP_VERSION}`)) as { resources: Json[] }
    for (const resource of RESOURCES) assert.ok(resources.some((r) => r['name'] === resource))

    const signerName = `example.com/${unique('e2e')}`
    const ofSigner = { fieldSelector: `spec.signerName=${signerName}` }
    cleanUp(() => api.delete(PATH, undefined, ofSigner))
    const create = (): Promise<Json> =>
      api.post(PATH, {
        apiVersion: GROUP_VERSION,
        kind: 'CertificateSigningRequest',
        metadata: { generateName: 'e2e-example-csr-' },
        spec: {
          request: request(),
          signerName,
          expirationSeconds: 3600,
          usages: ['digital signature', 'key encipherment', 'server auth'],
        },
        status: {},
      })
    await create()
    await create()
    const created = await create()
    const own = `${PATH}/${created['metadata'].name}`
    const read = await api.get(own)
    assert.equal(read['metadata'].uid, created['metadata'].uid)
    assert.equal(read['spec'].expirationSeconds, 3600)
    const listed = await api.get(PATH, ofSigner)
    assert.equal(listed['items'].length, 3)

    const watching = await api.watch(PATH, {
      fieldSelector: `metadata.name=${created['metadata'].name}`,
      resourceVersion: listed['metadata'].resourceVersion,
    })
    const patched = await api.patch(
      own,
      { metadata: { annotations: { patched: 'true' } } },
      'merge',
    )
    patched['metadata'].annotations.updated = 'true'
    const updated = await api.put(own, patched)
    assert.equal(updated['metadata'].annotations.updated, 'true')
    const { type, object } = await watching.next('the patch', () => true)
    assert.deepEqual([type, object['metadata'].annotations.patched], ['MODIFIED', 'true'])
    watching.stop()

    assert.equal((await api.get(`${own}/approval`))['metadata'].uid, created['metadata'].uid)
    const {
      lastUpdateTime: _,
      lastTransitionTime: _1,
      message: _2,
      ...brief
    } = said('ApprovalPatch')
    const approval = await api.patch(
      `${own}/approval`,
      { metadata: { annotations: { patchedapproval: 'true' } }, status: { conditions: [brief] } },
      'merge',
    )
    assert.deepEqual(typesOf(approval), ['ApprovalPatch'])
    assert.equal(approval['metadata'].annotations.patchedapproval, 'true')
    approval['status'].conditions.push(said('Approved'))
    const approved = await api.put(`${own}/approval`, approval)
    assert.deepEqual(typesOf(approved), ['ApprovalPatch', 'Approved'])

    assert.equal((await api.get(`${own}/status`))['kind'], 'CertificateSigningRequest')
    const pem = Buffer.from(CERTIFICATE + CERTIFICATE).toString('base64')
    const issued = await api.patch(
      `${own}/status`,
      { metadata: { annotations: { patchedstatus: 'true' } }, status: { certificate: pem } },
      'merge',
    )
    assert.equal(issued['status'].certificate, pem)
    assert.equal(issued['metadata'].annotations.patchedstatus, 'true')
    issued['status'].conditions.push(said('StatusUpdate'))
    const last = await api.put(`${own}/status`, issued)
    assert.deepEqual(typesOf(last), ['ApprovalPatch', 'Approved', 'StatusUpdate'])

    await api.delete(own)
    assert.equal((await api.call('GET', own)).status, 404)
    assert.equal((await api.get(PATH, ofSigner))['items'].length, 2)
    await api.delete(PATH, undefined, ofSigner)
    assert.deepEqual(names(await api.get(PATH, ofSigner)), [])
  },
)

/** A certificate signing request for CN=e2e, made once with `openssl req -new -newkey ec`; the API only looks at its form. */
function request(): string {
  const pem = `-----BEGIN CERTIFICATE REQUEST-----
MIHIMHACAQAwDjEMMAoGA1UEAwwDZTJlMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcD
QgAEP4idH+ksdTcNt38S7wB2jUTSkUH092NJA6IChkBKJvDTfmUSaTGebOiiPjIp
EeRNlcmsyWN+dd9HEGg7v9px86AAMAoGCCqGSM49BAMCA0gAMEUCIEEdAPy4wA0B
SVV+lFIWBJmRez0TkGLPh7D02cGRiuBKAiEAraCJntu2Qcg3LT+lXEHaC7GbLnKv
/DCtYTvGVJkk2QI=
-----END CERTIFICATE REQUEST-----
`
  return Buffer.from(pem).toString('base64')
}
