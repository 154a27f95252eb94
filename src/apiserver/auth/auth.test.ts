import assert from 'node:assert/strict'
import { mastersAuthorizer } from './authorizers.ts'
import { createPublicKey, verify, X509Certificate } from 'node:crypto'
import type { webcrypto } from 'node:crypto'
import { test } from 'node:test'
import { seededRandom, virtualEnv } from '#base'
import { nodes, pods, secrets, serviceAccounts } from '#api'
import { StatusError, type JsonObject, type RequestUser } from '#machinery'
import type { Authorizer } from '../access.ts'
import { ensurePki, keyPem, newKey } from '../certificates/index.ts'
import type { Exchange } from '../exchange.ts'
import {
  certificateAuthenticator,
  frontProxyAuthenticator,
  unionAuthenticator,
} from './authenticators.ts'
import { discoveryPages } from './discovery.ts'
import { nodeAuthorizer } from './node-authorizer.ts'
import { reviews } from './reviews.ts'
import { serviceAccountTokens, signLegacyToken, tokenSigner } from './service-account-tokens.ts'
import { tokenIssuer } from './token-request.ts'
import { bearerAuthenticator, bootstrapTokens, staticTokens, unionOfTokens } from './tokens.ts'
import { testReader } from './reader.testing.ts'

const exchangeWith = (parts: Partial<Exchange>): Exchange => ({
  method: 'GET',
  path: '/',
  query: new URLSearchParams(),
  headers: {},
  body: async () => new Uint8Array(),
  remoteAddress: '10.0.0.1',
  signal: new AbortController().signal,
  id: '1',
  warnings: [],
  ...parts,
})
const bearer = (token: string): Exchange =>
  exchangeWith({ headers: { authorization: `Bearer ${token}` } })

function accounts() {
  const env = virtualEnv()
  const read = testReader()
  const key = keyPem(newKey(env.random))
  const account = read.put(serviceAccounts, {
    metadata: { name: 'ci', namespace: 'shop', uid: 'u1' },
  })
  const signer = tokenSigner(key)
  const issue = tokenIssuer({ read, env, signer })
  const tokens = serviceAccountTokens({ read, clock: env.clock, keys: [key] })
  const token = async (spec: JsonObject): Promise<string> => {
    const { status } = (await issue(exchangeWith({}), account, { spec })) as {
      status: { token: string }
    }
    return status.token
  }
  return { env, read, key, account, signer, issue, tokens, token }
}

const code = (wanted: number) => (error: unknown) =>
  error instanceof StatusError && error.code === wanted

test('a token is who its account is, until it runs out', async () => {
  const { env, tokens, token } = accounts()
  const text = await token({})
  assert.deepEqual(await tokens.authenticateToken(text), {
    user: {
      name: 'system:serviceaccount:shop:ci',
      uid: 'u1',
      groups: ['system:serviceaccounts', 'system:serviceaccounts:shop'],
      extra: {
        'authentication.kubernetes.io/credential-id': [`JTI=${claimsOf(text).jti}`],
      },
    },
    audiences: ['https://kubernetes.default.svc.cluster.local'],
  })
  await env.advance(2 * 3600 * 1000)
  await assert.rejects(tokens.authenticateToken(text), code(401))
})

test('a token of another audience is good only for those who ask for it', async () => {
  const { tokens, token } = accounts()
  const text = await token({ audiences: ['vault', 'x'] })
  await assert.rejects(tokens.authenticateToken(text), code(401))
  assert.deepEqual((await tokens.authenticateToken(text, ['vault']))?.audiences, ['vault'])
})

test('a token that is bound to a pod dies with the pod, and a new pod of the name does not revive it', async () => {
  const { env, read, tokens, token } = accounts()
  const pod = {
    metadata: { name: 'p', namespace: 'shop', uid: 'p1' },
    spec: { serviceAccountName: 'ci', nodeName: 'n1' },
  }
  read.put(pods, pod)
  read.put(nodes, { metadata: { name: 'n1', uid: 'n-uid' } })
  const text = await token({
    boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'p', uid: 'p1' },
  })
  const claims = claimsOf(text)['kubernetes.io']
  assert.deepEqual(claims, {
    namespace: 'shop',
    node: { name: 'n1', uid: 'n-uid' },
    pod: { name: 'p', uid: 'p1' },
    serviceaccount: { name: 'ci', uid: 'u1' },
  })
  const { user } = (await tokens.authenticateToken(text))!
  assert.deepEqual(user.extra?.['authentication.kubernetes.io/pod-name'], ['p'])
  read.put(pods, {
    ...pod,
    metadata: { ...pod.metadata, deletionTimestamp: env.clock.now().toISOString() },
  })
  await tokens.authenticateToken(text)
  await env.advance(61_000)
  await assert.rejects(tokens.authenticateToken(text), code(401))
  read.put(pods, { ...pod, metadata: { ...pod.metadata, uid: 'p2' } })
  await assert.rejects(tokens.authenticateToken(text), code(401))
  read.put(pods, pod)
  await tokens.authenticateToken(text)
  read.remove(serviceAccounts, 'shop', 'ci')
  await assert.rejects(tokens.authenticateToken(text), code(401))
})

test('what a token may be bound to is checked', async () => {
  const { read, token } = accounts()
  read.put(pods, {
    metadata: { name: 'p', namespace: 'shop', uid: 'p1' },
    spec: { serviceAccountName: 'other' },
  })
  const bound = (kind: string, name: string, uid = '') =>
    token({ boundObjectRef: { kind, apiVersion: 'v1', name, uid } })
  await assert.rejects(bound('Pod', 'q'), code(404))
  await assert.rejects(bound('Pod', 'p', 'p2'), code(409))
  await assert.rejects(bound('Pod', 'p'), /different serviceaccount name/)
  await assert.rejects(bound('ConfigMap', 'c'), code(400))
  await assert.rejects(
    token({ expirationSeconds: 599 }),
    /may not specify a duration less than 10 minutes/,
  )
})

test('the token of a kubelet that asks for the usual time lasts a year and says when to warn', async () => {
  const { env, read, issue, account } = accounts()
  read.put(pods, {
    metadata: { name: 'p', namespace: 'shop', uid: 'p1' },
    spec: { serviceAccountName: 'ci' },
  })
  const answer = (await issue(exchangeWith({}), account, {
    spec: { expirationSeconds: 3607, boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'p' } },
  })) as { status: { token: string; expirationTimestamp: string } }
  const claims = claimsOf(answer.status.token)
  const now = env.clock.now().getTime() / 1000
  assert.equal(claims.exp, now + 365 * 24 * 3600)
  assert.equal(claims['kubernetes.io'].warnafter, now + 3607)
  assert.equal(answer.status.expirationTimestamp, '2026-01-01T01:00:07Z')
})

test('a token that somebody changed, or that another key signed, is refused', async () => {
  const { tokens, token, env, account } = accounts()
  const text = await token({})
  const [header, payload, signature] = text.split('.') as [string, string, string]
  const forged = Buffer.from(
    JSON.stringify({ ...claimsOf(text), sub: 'system:serviceaccount:kube-system:admin' }),
  ).toString('base64url')
  await assert.rejects(tokens.authenticateToken(`${header}.${forged}.${signature}`), code(401))
  const none = Buffer.from('{"alg":"none"}').toString('base64url')
  await assert.rejects(tokens.authenticateToken(`${none}.${payload}.x`), code(401))
  const other = tokenIssuer({
    read: testReader(),
    env,
    signer: tokenSigner(keyPem(newKey(seededRandom(99)))),
  })
  const { status } = (await other(exchangeWith({}), account, {})) as { status: { token: string } }
  await assert.rejects(tokens.authenticateToken(status.token), code(401))
  assert.equal(await tokens.authenticateToken('a.b.c'), undefined)
})

test('the token of a Secret holds as long as the Secret has it', async () => {
  const { read, tokens, signer, account } = accounts()
  const text = await signLegacyToken(signer, account, 's')
  await assert.rejects(tokens.authenticateToken(text), code(401))
  read.put(secrets, {
    metadata: { name: 's', namespace: 'shop' },
    data: { token: Buffer.from(text).toString('base64') },
  })
  assert.equal((await tokens.authenticateToken(text))?.user.name, 'system:serviceaccount:shop:ci')
})

test('anyone can check a token with the published keys', async () => {
  const { key, token } = accounts()
  const text = await token({})
  const published = discoveryPages({ keys: [key] })
  const read = async (path: string) =>
    JSON.parse(Buffer.from((await published[path]!()).body as Uint8Array).toString()) as JsonObject
  const configuration = await read('/.well-known/openid-configuration')
  assert.equal(configuration['issuer'], claimsOf(text).iss)
  const { keys } = (await read('/openid/v1/jwks')) as {
    keys: (webcrypto.JsonWebKey & { kid: string })[]
  }
  const [header, payload, signature] = text.split('.') as [string, string, string]
  const { kid } = JSON.parse(Buffer.from(header, 'base64url').toString()) as { kid: string }
  const jwk = keys.find((candidate) => candidate.kid === kid)!
  assert.ok(
    verify(
      'sha256',
      Buffer.from(`${header}.${payload}`),
      { key: createPublicKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' },
      Buffer.from(signature, 'base64url'),
    ),
  )
})

test('requests are known by certificate, token or not at all', async () => {
  const env = virtualEnv()
  const pki = await ensurePki(env, '/pki')
  const who = unionAuthenticator([
    frontProxyAuthenticator({
      authorities: [pki.frontProxyAuthority.certificate],
      names: ['front-proxy-client'],
      clock: env.clock,
    }),
    certificateAuthenticator({ authorities: [pki.authority.certificate], clock: env.clock }),
    bearerAuthenticator(staticTokens('sesame,ali,7,"forty,thieves"\n# c\nplain,bob,8\n')),
  ])
  const name = async (exchange: Exchange) => (await who.authenticate(exchange))?.user
  const der = (text: string): Uint8Array => new X509Certificate(text).raw
  const admin = der(pki.admin.certificate)
  const known = await name(exchangeWith({ clientCertificate: admin }))
  assert.deepEqual(
    [known?.name, known?.groups],
    ['kubernetes-admin', ['system:masters', 'system:authenticated']],
  )
  assert.equal(known, await name(exchangeWith({ clientCertificate: admin })))

  const proxied = exchangeWith({
    clientCertificate: der(pki.frontProxyClient.certificate),
    headers: { 'x-remote-user': 'eve', 'x-remote-group': 'a, b', 'x-remote-extra-team%2fid': '7' },
    // A name with a comma is one name: no group that nobody gave.
    rawHeaders: [
      ['x-remote-user', Buffer.from('èva').toString('latin1')],
      ['X-Remote-Group', 'a'],
      ['X-Remote-Group', 'b,system:masters'],
      ['X-Remote-Extra-Team%2Fid', '7'],
    ].flat(),
  })
  assert.deepEqual(await name(proxied), {
    name: 'èva',
    groups: ['a', 'b,system:masters', 'system:authenticated'],
    extra: { 'team/id': ['7'] },
  })
  // An ordinary client may not speak for others.
  const ordinary = exchangeWith({ clientCertificate: admin, headers: { 'x-remote-user': 'eve' } })
  assert.equal((await name(ordinary))?.name, 'kubernetes-admin')

  assert.deepEqual(await name(bearer('sesame')), {
    name: 'ali',
    uid: '7',
    groups: ['forty', 'thieves', 'system:authenticated'],
  })
  await assert.rejects(name(bearer('wrong')), code(401))
  assert.equal((await name(exchangeWith({})))?.name, 'system:anonymous')
  await env.advance(366 * 24 * 3600 * 1000)
  assert.equal((await name(exchangeWith({ clientCertificate: admin })))?.name, 'system:anonymous')
})

test('a bootstrap token holds while its Secret says so', async () => {
  const env = virtualEnv()
  const read = testReader()
  const tokens = bootstrapTokens(read, env.clock)
  const secret = (changes: Record<string, string> = {}) =>
    read.put(secrets, {
      metadata: { name: 'bootstrap-token-abcdef', namespace: 'kube-system' },
      type: 'bootstrap.kubernetes.io/token',
      data: Object.fromEntries(
        Object.entries({
          'token-id': 'abcdef',
          'token-secret': '0123456789abcdef',
          'usage-bootstrap-authentication': 'true',
          'auth-extra-groups': 'system:bootstrappers:nodes',
          expiration: '2026-01-02T00:00:00Z',
          ...changes,
        }).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
      ),
    })
  const ask = () => tokens.authenticateToken('abcdef.0123456789abcdef')
  assert.equal(await ask(), undefined)
  secret()
  assert.deepEqual((await ask())?.user, {
    name: 'system:bootstrap:abcdef',
    groups: ['system:bootstrappers', 'system:bootstrappers:nodes'],
  })
  assert.equal(await tokens.authenticateToken('abcdef.0123456789abcdeX'), undefined)
  secret({ 'usage-bootstrap-authentication': 'false' })
  assert.equal(await ask(), undefined)
  secret({ 'auth-extra-groups': 'system:masters' })
  assert.equal(await ask(), undefined)
  secret()
  await env.advance(24 * 3600 * 1000)
  assert.equal(await ask(), undefined)
})

const allowing = (allowed: (user: RequestUser) => boolean): Authorizer => ({
  authorize: async ({ user, verb }) =>
    allowed(user) && verb === 'get'
      ? { verdict: 'allow', reason: 'because' }
      : { verdict: 'noOpinion', reason: '' },
})

test('reviews answer about oneself, about others, and about tokens', async () => {
  const { tokens, token } = accounts()
  const audiences = ['https://kubernetes.default.svc.cluster.local']
  const made = reviews({
    authorizer: allowing(({ name }) => name === 'jane'),
    tokens: unionOfTokens([tokens]),
    audiences,
    clock: { now: () => new Date(0) },
  })
  const jane = exchangeWith({})
  jane.user = { name: 'jane', groups: ['dev'] }
  const status = async (kind: string, spec: JsonObject, exchange = jane) =>
    (await made[kind]!(exchange, { spec }))['status'] as JsonObject
  const resourceAttributes = { verb: 'get', resource: 'pods', namespace: 'shop' }
  const self = 'selfsubjectaccessreviews.authorization.k8s.io'
  const other = 'subjectaccessreviews.authorization.k8s.io'
  const local = 'localsubjectaccessreviews.authorization.k8s.io'
  assert.deepEqual(await status(self, { resourceAttributes }), { allowed: true, reason: 'because' })
  assert.deepEqual(await status(other, { user: 'bob', resourceAttributes }), { allowed: false })
  await assert.rejects(
    status(other, { resourceAttributes }),
    /at least one of user or group must be specified/,
  )
  await assert.rejects(
    status(self, {}),
    /exactly one of nonResourceAttributes or resourceAttributes/,
  )
  const inOther = exchangeWith({})
  inOther.info = { namespace: 'other' } as NonNullable<Exchange['info']>
  await assert.rejects(
    status(local, { user: 'jane', resourceAttributes }, inOther),
    /spec.resourceAttributes.namespace: Invalid value: "[^"]*": must match metadata.namespace/,
  )
  assert.deepEqual(await status('selfsubjectreviews.authentication.k8s.io', {}), {
    userInfo: { username: 'jane', groups: ['dev'] },
  })
  assert.deepEqual(
    (await made['selfsubjectreviews.authentication.k8s.io']!(jane, {}))['metadata'],
    { creationTimestamp: '1970-01-01T00:00:00Z' },
  )
  const review = 'tokenreviews.authentication.k8s.io'
  const text = await token({})
  const answer = await status(review, { token: text })
  assert.equal(answer['authenticated'], true)
  assert.deepEqual(answer['audiences'], audiences)
  assert.equal(
    (await status(review, { token: text, audiences: ['vault'] }))['authenticated'],
    undefined,
  )
  assert.equal((await status(review, { token: 'rubbish' }))['authenticated'], undefined)
})

test('a node reads only what its own pods use', async () => {
  const read = testReader()
  const authorizer = nodeAuthorizer(read)
  const user: RequestUser = { name: 'system:node:n1', groups: ['system:nodes'] }
  const verdict = async (verb: string, resource: string, name: string, more: object = {}) =>
    (
      await authorizer.authorize({
        user,
        verb,
        isResource: true,
        namespace: 'shop',
        group: '',
        version: 'v1',
        resource,
        subresource: '',
        name,
        path: '',
        ...more,
      })
    ).verdict
  assert.equal(await verdict('get', 'secrets', 's'), 'noOpinion')
  read.put(pods, {
    metadata: { name: 'p', namespace: 'shop' },
    spec: {
      nodeName: 'n1',
      serviceAccountName: 'ci',
      containers: [
        { name: 'c', env: [{ name: 'E', valueFrom: { configMapKeyRef: { name: 'cm' } } }] },
      ],
      volumes: [{ name: 'v', secret: { secretName: 's' } }],
    },
  })
  assert.equal(await verdict('get', 'secrets', 's'), 'allow')
  assert.equal(await verdict('watch', 'secrets', '', { fieldSelector: 'metadata.name=s' }), 'allow')
  assert.equal(await verdict('list', 'secrets', ''), 'noOpinion')
  assert.equal(await verdict('get', 'secrets', 's', { namespace: 'other' }), 'noOpinion')
  assert.equal(await verdict('get', 'configmaps', 'cm'), 'allow')
  assert.equal(await verdict('create', 'serviceaccounts', 'ci', { subresource: 'token' }), 'allow')
  assert.equal(
    await verdict('create', 'serviceaccounts', 'x', { subresource: 'token' }),
    'noOpinion',
  )
  assert.equal(await verdict('update', 'nodes', 'n1', { subresource: 'status' }), 'allow')
  assert.equal(await verdict('delete', 'nodes', 'n1'), 'allow')
  assert.equal(await verdict('delete', 'nodes', 'n2'), 'noOpinion')
  const lease = { group: 'coordination.k8s.io', namespace: 'kube-node-lease' }
  assert.equal(await verdict('update', 'leases', 'n1', lease), 'allow')
  assert.equal(await verdict('update', 'leases', 'n2', lease), 'noOpinion')
  assert.equal(
    await verdict('list', 'pods', '', { namespace: '', fieldSelector: 'spec.nodeName=n1' }),
    'allow',
  )
  assert.equal(await verdict('list', 'pods', '', { namespace: '' }), 'noOpinion')
  assert.equal(await verdict('create', 'deployments', '', { group: 'apps' }), 'noOpinion')
  read.remove(pods, 'shop', 'p')
  assert.equal(await verdict('get', 'secrets', 's'), 'noOpinion')
})

interface Claims {
  readonly iss: string
  readonly exp: number
  readonly jti: string
  readonly 'kubernetes.io': { readonly warnafter?: number }
}
const claimsOf = (token: string): Claims =>
  JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as Claims

test('that masters may do everything is said once, by their binding', async () => {
  const rules = await mastersAuthorizer.rules?.(
    { name: 'root', groups: ['system:masters'] },
    'shop',
  )
  assert.deepEqual(rules, { resourceRules: [], nonResourceRules: [], incomplete: false })
})
