/** [sig-auth] Trust bundles and certificates as files of pods, and a signer that is this test itself. */
import assert from 'node:assert/strict'
import { X509Certificate, createPrivateKey, webcrypto } from 'node:crypto'
import 'reflect-metadata'
import * as x509 from '@peculiar/x509'
import type { Json } from '../api.ts'
import {
  agnhost,
  createPod,
  execIn,
  needsContainers,
  podNow,
  podOf,
  prints,
  running,
  shell,
} from '../containers.ts'
import { mirror, type Fixture } from '../mirror.ts'
import { everyOperation } from '../resource.ts'
import { conditionOf, holds, servedVersion, service } from '../support.ts'
import { labelled, statusOf } from './resources.ts'

const served = (fixture: Fixture, resource: string): Promise<string> =>
  servedVersion(fixture, 'certificates.k8s.io', resource)

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const DAY_MS = 86_400_000

interface Authority {
  readonly pem: string
  readonly certificate: x509.X509Certificate
  readonly key: CryptoKey
}

async function authority(name: string): Promise<Authority> {
  x509.cryptoProvider.set(webcrypto as unknown as Crypto)
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 30 * DAY_MS),
    signingAlgorithm: ALGORITHM,
    keys: keys as never,
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  })
  return {
    pem: `${certificate.toString('pem')}\n`,
    certificate,
    key: keys.privateKey as unknown as CryptoKey,
  }
}

const BUNDLES =
  '[sig-auth] [FeatureGate:ClusterTrustBundle] [FeatureGate:ClusterTrustBundleProjection] should'
const bundles = (text: string): string =>
  `${BUNDLES} ${text} [MinimumKubeletVersion:1.37] [Conformance]`
const SIGNER = 'test.test/signer-one'

/** Makes a bundle of the signer, or of none, and takes it away after the test. */
async function bundle(
  fixture: Fixture,
  groupVersion: string,
  name: string,
  pem: string,
  { signerName, labels }: { readonly signerName?: string; readonly labels?: Json } = {},
): Promise<string> {
  const path = `/apis/${groupVersion}/clustertrustbundles`
  const full =
    signerName === undefined
      ? fixture.unique(name)
      : `${signerName.replace('/', ':')}:${fixture.unique(name)}`
  await fixture.api.post(path, {
    apiVersion: groupVersion,
    kind: 'ClusterTrustBundle',
    metadata: { name: full, ...(labels === undefined ? {} : { labels }) },
    spec: { ...(signerName === undefined ? {} : { signerName }), trustBundle: pem },
  })
  fixture.cleanUp(() => fixture.api.delete(`${path}/${full}`))
  return full
}

const projected = (...sources: readonly Json[]): Json => ({ projected: { sources } })
const fromBundle = (source: Json): Json =>
  projected({ clusterTrustBundle: { path: 'trust-anchors.pem', ...source } })

const bundlePod = (fixture: Fixture, ...volumes: readonly Json[]): Json =>
  podOf(
    fixture,
    shell(volumes.map((_, i) => `echo volume ${i}; cat /v${i}/trust-anchors.pem`).join('; '), {
      volumeMounts: volumes.map((_, i) => ({ name: `v${i}`, mountPath: `/v${i}` })),
    }),
    { spec: { volumes: volumes.map((volume, i) => ({ name: `v${i}`, ...volume })) } },
  )

const certificates = (text: string): readonly string[] =>
  (text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? []).map(
    (pem) => new X509Certificate(pem).subject,
  )

mirror(bundles('be able to mount a single ClusterTrustBundle by name'), async (fixture) => {
  const groupVersion = await served(fixture, 'clustertrustbundles')
  const name = await bundle(fixture, groupVersion, 'one', (await authority('root-1')).pem)
  const output = await prints(fixture, bundlePod(fixture, fromBundle({ name })))
  assert.deepEqual(certificates(output), ['CN=root-1'])
})

mirror(bundles('be able to specify multiple CTB volumes'), async (fixture) => {
  const groupVersion = await served(fixture, 'clustertrustbundles')
  const one = await bundle(fixture, groupVersion, 'one', (await authority('root-1')).pem)
  const two = await bundle(fixture, groupVersion, 'two', (await authority('root-2')).pem)
  const output = await prints(
    fixture,
    bundlePod(fixture, fromBundle({ name: one }), fromBundle({ name: two })),
  )
  assert.deepEqual(certificates(output), ['CN=root-1', 'CN=root-2'])
})

const SELECTING = 'be capable to mount multiple trust bundles by signer+labels'

/** Two of the signer with the label, one without it, and one of another signer. */
async function several(fixture: Fixture): Promise<string> {
  const groupVersion = await served(fixture, 'clustertrustbundles')
  const signerName = `test.test/${fixture.unique('signer')}`
  const mark = { labels: { 'signer.alive': 'true' } }
  const make = async (name: string, more: object): Promise<string> =>
    bundle(fixture, groupVersion, name, (await authority(name)).pem, more)
  await make('alive-1', { signerName, ...mark })
  await make('alive-2', { signerName, ...mark })
  await make('dead', { signerName, labels: { 'signer.alive': 'false' } })
  await make('stranger', { signerName: SIGNER, ...mark })
  return signerName
}

for (const [text, labelSelector, expected] of [
  [
    'can combine multiple CTBs with signer name and label selector',
    { matchLabels: { 'signer.alive': 'true' } },
    ['CN=alive-1', 'CN=alive-2'],
  ],
  [
    'can combine all signer CTBs with an empty label selector',
    {},
    ['CN=alive-1', 'CN=alive-2', 'CN=dead'],
  ],
  [
    'should start if only signer name and explicit label selector matches nothing + optional=true',
    { matchLabels: { 'signer.alive': 'unknown' } },
    [],
  ],
  ['should start if only signer name and nil label selector + optional=true', undefined, []],
] as const)
  mirror(bundles(`${SELECTING} ${text}`), async (fixture) => {
    const signerName = await several(fixture)
    const source = {
      signerName,
      ...(labelSelector === undefined ? {} : { labelSelector }),
      ...(expected.length === 0 ? { optional: true } : {}),
    }
    const output = await prints(fixture, bundlePod(fixture, fromBundle(source)))
    assert.deepEqual(certificates(output).toSorted(), expected)
  })

for (const [text, source] of [
  ['sets optional=false and the configured CTB does not exist', { name: 'does-not-exist' }],
  [
    'sets optional=false and no trust bundle matches query',
    { signerName: 'test.test/nobody', labelSelector: { matchLabels: { some: 'label' } } },
  ],
] as const)
  mirror(bundles(`prevent a pod from starting if: ${text}`), async (fixture) => {
    await served(fixture, 'clustertrustbundles')
    const { api, ns, profile } = fixture
    const pod = bundlePod(fixture, fromBundle({ ...source, optional: false }))
    const { metadata } = (await createPod(fixture, pod)) as { metadata: Json }
    const name = String(metadata['name'])
    await fixture.until('an event says why', async () => {
      const { items } = await api.get(ns('events'), {
        fieldSelector: `involvedObject.name=${name},reason=FailedMount`,
      })
      return items.length > 0
    })
    await holds(
      'it does not start',
      async () => (await podNow(fixture, name))['status'].phase === 'Pending',
      profile === 'stock' ? 60_000 : 5000,
    )
    const ready = conditionOf(await podNow(fixture, name), 'Ready')
    assert.equal(ready?.['reason'], 'ContainersNotReady')
    assert.match(ready['message'], /containers with unready status: \[test-container\]/)
  })

mirror(bundles('be able to mount a big number (>100) of CTBs'), async (fixture) => {
  const groupVersion = await served(fixture, 'clustertrustbundles')
  await needsContainers(fixture)
  const signerName = `test.test/${fixture.unique('many')}`
  const subjects: string[] = []
  for (let i = 0; i < 150; i++) {
    subjects.push(`CN=root-${i}`)
    const { pem } = await authority(`root-${i}`)
    await bundle(fixture, groupVersion, `many-${i}`, pem, { signerName })
  }
  const source = fromBundle({ signerName, labelSelector: {} })
  const output = await prints(fixture, bundlePod(fixture, source))
  assert.deepEqual(certificates(output).toSorted(), subjects.toSorted())
})

// --- certificates of pods ---

const CERTIFICATES =
  '[sig-auth] Projected PodCertificate [FeatureGate:PodCertificateRequest] [FeatureGate:ClusterTrustBundle] [FeatureGate:ClusterTrustBundleProjection]'
const issuing = (text: string): string =>
  `${CERTIFICATES} ${text} [MinimumKubeletVersion:1.37] [Conformance]`

interface Signer {
  readonly name: string
  readonly groupVersion: string
  readonly root: Authority
  /** What it was asked, in order. */
  readonly requests: readonly Json[]
}

/** Signs what pods of the namespace ask of it, for as long as the test runs. */
async function signer(fixture: Fixture): Promise<Signer> {
  const { api, namespace, cleanUp } = fixture
  const groupVersion = await served(fixture, 'podcertificaterequests')
  await needsContainers(fixture)
  const name = `test.test/${fixture.unique('signer')}`
  const root = await authority('the signer')
  const path = `/apis/${groupVersion}/namespaces/${namespace}/podcertificaterequests`
  const requests: Json[] = []
  const watching = await api.watch(path)
  cleanUp(async () => watching.stop())
  void (async () => {
    for (;;) {
      const { object } = await watching.next('a request', ({ type }) => type === 'ADDED', 600_000)
      if (object['spec'].signerName !== name) continue
      requests.push(object)
      await api.put(`${path}/${object['metadata'].name}/status`, {
        ...object,
        status: await issued(root, object),
      })
    }
  })().catch(() => undefined)
  return { name, groupVersion, root, requests }
}

async function issued(root: Authority, { metadata, spec }: Json): Promise<Json> {
  const request = new x509.Pkcs10CertificateRequest(
    Buffer.from(String(spec['stubPKCS10Request']), 'base64'),
  )
  assert.ok(await request.verify())
  const seconds = Math.trunc(Date.now() / 1000)
  const notBefore = new Date((seconds - 60) * 1000)
  const notAfter = new Date((seconds - 60 + Number(spec['maxExpirationSeconds'])) * 1000)
  const annotations = (spec['unverifiedUserAnnotations'] ?? {}) as Record<string, string>
  const ownPath = annotations['test.test/spiffe-path'] ?? `sa/${spec['serviceAccountName']}`
  const certificate = await x509.X509CertificateGenerator.create({
    subject: '',
    issuer: root.certificate.subject,
    notBefore,
    notAfter,
    publicKey: request.publicKey,
    signingKey: root.key,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.SubjectAlternativeNameExtension(
        [
          {
            type: 'url',
            value: `spiffe://cluster.local/ns/${metadata['namespace']}/${ownPath}`,
          },
          { type: 'dns', value: `server.${metadata['namespace']}.svc` },
        ],
        true,
      ),
      new x509.ExtendedKeyUsageExtension([
        x509.ExtendedKeyUsage.clientAuth,
        x509.ExtendedKeyUsage.serverAuth,
      ]),
    ],
  })
  const text = (date: Date): string => `${date.toISOString().slice(0, 19)}Z`
  const now = text(new Date())
  return {
    conditions: [
      {
        type: 'Issued',
        status: 'True',
        reason: 'Issued',
        message: 'signed by the test',
        lastTransitionTime: now,
      },
    ],
    certificateChain: `${certificate.toString('pem')}\n`,
    notBefore: text(notBefore),
    beginRefreshAt: text(
      new Date(notBefore.getTime() + (notAfter.getTime() - notBefore.getTime()) * 0.8),
    ),
    notAfter: text(notAfter),
  }
}

const credential = (signerName: string, more: Json = {}): Json => ({
  podCertificate: {
    signerName,
    keyType: 'ECDSAP256',
    credentialBundlePath: 'credentialbundle.pem',
    ...more,
  },
})

/** What a running pod has of its credential. */
async function credentialOf(fixture: Fixture, source: Json): Promise<X509Certificate> {
  const pod = podOf(
    fixture,
    shell('sleep 600', { volumeMounts: [{ name: 'v', mountPath: '/v' }] }),
    { spec: { volumes: [{ name: 'v', ...projected(source) }] } },
  )
  const { metadata } = (await createPod(fixture, pod)) as { metadata: Json }
  await running(fixture, metadata['name'])
  const text = await execIn(fixture, metadata['name'], ['cat', '/v/credentialbundle.pem'])
  const certificate = new X509Certificate(text.slice(text.indexOf('-----BEGIN CERTIFICATE')))
  assert.ok(
    certificate.checkPrivateKey(createPrivateKey(text)),
    'key and certificate belong together',
  )
  return certificate
}

const lifeSeconds = ({ validFrom, validTo }: X509Certificate): number =>
  (Date.parse(validTo) - Date.parse(validFrom)) / 1000

for (const [text, more, seconds] of [
  [
    'should issue certificate with default life time (24h) when MaxExpirationSeconds is not set',
    {},
    86_400,
  ],
  [
    'should issue certificate with specified duration (1h) when MaxExpirationSeconds is set',
    { maxExpirationSeconds: 3600 },
    3600,
  ],
] as const)
  mirror(issuing(`MaxExpirationSeconds validations ${text}`), async (fixture) => {
    const { name, requests } = await signer(fixture)
    const certificate = await credentialOf(fixture, credential(name, more))
    assert.equal(requests[0]?.['spec'].maxExpirationSeconds, seconds)
    assert.equal(lifeSeconds(certificate), seconds)
  })

mirror(issuing('should honor UserAnnotations for SPIFFE URI path'), async (fixture) => {
  const { name } = await signer(fixture)
  const certificate = await credentialOf(
    fixture,
    credential(name, { userAnnotations: { 'test.test/spiffe-path': 'my/own/path' } }),
  )
  assert.match(
    certificate.subjectAltName ?? '',
    new RegExp(`spiffe://cluster.local/ns/${fixture.namespace}/my/own/path`),
  )
})

mirror(
  issuing('should allow server and client pods to establish an mTLS connection'),
  async (fixture) => {
    const { api, ns, namespace } = fixture
    const { name, groupVersion, root } = await signer(fixture)
    await bundle(fixture, groupVersion, 'trust', root.pem, { signerName: name })
    const volumes = [
      {
        name: 'v',
        ...projected(credential(name), {
          clusterTrustBundle: { path: 'trust-anchors.pem', signerName: name, labelSelector: {} },
        }),
      },
    ]
    const volumeMounts = [{ name: 'v', mountPath: '/v' }]
    const files = [
      '--credential-bundle=/v/credentialbundle.pem',
      '--trust-bundle=/v/trust-anchors.pem',
    ]
    const server = podOf(
      fixture,
      agnhost(['mtlsserver', '--listen=0.0.0.0:443', ...files], { volumeMounts }),
      {
        metadata: { name: 'server', labels: { app: 'server' } },
        spec: { volumes },
      },
    )
    await createPod(fixture, server)
    await api.post(
      ns('services'),
      service('server', { selector: { app: 'server' }, ports: [{ port: 443 }] }),
    )
    await running(fixture, 'server')
    const target = `https://server.${namespace}.svc/spiffe-echo`
    const asking = podOf(
      fixture,
      agnhost(['mtlsclient', `--fetch-url=${target}`, ...files], { volumeMounts }),
      { metadata: { name: 'client' }, spec: { volumes } },
    )
    await createPod(fixture, asking)
    await running(fixture, 'client')
    await fixture.until('the client was recognized', async () => {
      const log = await api.call('GET', ns('pods/client/log'))
      return log.text.includes(`spiffe://cluster.local/ns/${namespace}/sa/default`)
    })
  },
)

mirror(
  '[sig-auth] PodCertificateRequest API [Privileged:ClusterAdmin] should support PodCertificateRequest API operations [Conformance]',
  async (fixture) => {
    const groupVersion = await served(fixture, 'podcertificaterequests')
    x509.cryptoProvider.set(webcrypto as unknown as Crypto)
    const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
    const request = await x509.Pkcs10CertificateRequestGenerator.create({
      keys: keys as never,
      signingAlgorithm: ALGORITHM,
    })
    const notBefore = Math.trunc(Date.now() / 1000) * 1000 - 60_000
    const at = (minutes: number): Date => new Date(notBefore + minutes * 60_000)
    const text = (date: Date): string => `${date.toISOString().slice(0, 19)}Z`
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: 'CN=e2e.example.com',
      notBefore: at(0),
      notAfter: at(60),
      signingAlgorithm: ALGORITHM,
      keys: keys as never,
    })
    await everyOperation(fixture, {
      groupVersion,
      resource: 'podcertificaterequests',
      kind: 'PodCertificateRequest',
      namespaced: true,
      body: {
        spec: {
          signerName: `example.com/e2e-${fixture.namespace}`,
          podName: 'test-pod',
          podUID: '12345678-1234-1234-1234-123456789012',
          serviceAccountName: 'default',
          serviceAccountUID: '12345678-1234-1234-1234-123456789013',
          nodeName: 'test-node',
          nodeUID: '12345678-1234-1234-1234-123456789014',
          maxExpirationSeconds: 86_400,
          stubPKCS10Request: Buffer.from(request.rawData).toString('base64'),
        },
        status: {},
      },
      spec: labelled('test.podcertificaterequest.example.com'),
      status: statusOf({
        certificateChain: `${certificate.toString('pem')}\n`,
        notBefore: text(at(0)),
        notAfter: text(at(60)),
        beginRefreshAt: text(at(15)),
        conditions: [
          {
            type: 'Issued',
            status: 'True',
            reason: 'E2E',
            message: 'issued by a test',
            lastTransitionTime: text(new Date()),
          },
        ],
      }),
    })
  },
)
