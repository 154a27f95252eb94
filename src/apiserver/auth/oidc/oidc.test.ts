import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { exportJWK, SignJWT } from 'jose'
import { realEnv, silentLogger, virtualEnv } from '#base'
import { ensurePki } from '../../certificates/index.ts'
import { openAccess } from '../open.ts'
import { webhookAuthorizer, webhookTokens } from '../webhooks.ts'
import { parseAuthenticationConfiguration } from './config.ts'
import { oidcTokens } from './index.ts'

const env = { ...realEnv(), log: silentLogger }
const keys = { first: rsa(), second: rsa() }
let published: readonly (readonly [string, KeyObject])[] = [['one', keys.first.publicKey]]
let server: Server
let issuer = ''
let authority = ''
const asked: string[] = []

function rsa() {
  return generateKeyPairSync('rsa', { modulusLength: 2048 })
}

before(async () => {
  const pki = await ensurePki(virtualEnv({ start: new Date() }), '/pki')
  authority = pki.authority.certificate
  const { certificate, key } = await pki.issue({
    subject: { commonName: 'issuer' },
    usages: ['server'],
    addresses: ['127.0.0.1'],
  })
  server = createServer({ cert: certificate, key }, (request, reply) => {
    asked.push(request.url ?? '')
    const answer = async (): Promise<unknown> =>
      request.url === '/keys'
        ? {
            keys: await Promise.all(
              published.map(async ([kid, each]) => ({ ...(await exportJWK(each)), kid })),
            ),
          }
        : { issuer, jwks_uri: `${issuer}/keys` }
    void answer().then((value) => reply.end(JSON.stringify(value)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  issuer = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
})
after(() => server.close())

const configuration = (jwt: object, more: object = {}): string =>
  JSON.stringify({
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'AuthenticationConfiguration',
    jwt: [
      {
        issuer: { url: issuer, audiences: ['kubernetes'], certificateAuthority: authority },
        claimMappings: { username: { claim: 'sub', prefix: 'oidc:' } },
        ...jwt,
      },
    ],
    ...more,
  })
const tokensOf = (jwt: object, clock = env.clock) =>
  oidcTokens({ ...env, clock }, parseAuthenticationConfiguration(configuration(jwt)).jwt[0]!)
const token = (claims: object = {}, kid = 'one', key = keys.first.privateKey): Promise<string> =>
  new SignJWT({ iss: issuer, sub: 'jane', aud: 'kubernetes', ...claims })
    .setProtectedHeader({ alg: 'RS256', kid })
    .setExpirationTime('1h')
    .sign(key)

test('a token of the issuer is a user, by the names of its claims', async () => {
  const tokens = tokensOf({
    claimMappings: {
      username: { claim: 'sub', prefix: 'oidc:' },
      groups: { claim: 'groups', prefix: 'oidc:' },
      uid: { claim: 'oid' },
    },
    claimValidationRules: [{ claim: 'hd', requiredValue: 'example.com' }],
  })
  const good = { groups: ['dev', 'ops'], oid: 'u-1', hd: 'example.com', jti: 'j' }
  const found = await tokens.authenticateToken(await token(good))
  assert.deepEqual(found?.user, {
    name: 'oidc:jane',
    uid: 'u-1',
    groups: ['oidc:dev', 'oidc:ops'],
    extra: { 'authentication.kubernetes.io/credential-id': ['JTI=j'] },
  })
  const before = asked.length
  await tokens.authenticateToken(await token(good))
  assert.equal(asked.length, before, 'the keys are fetched once')
  for (const claims of [
    { hd: 'other.com' },
    { ...good, aud: 'others' },
    { ...good, groups: [1] },
    { ...good, sub: '' },
    { ...good, nbf: Date.now() / 1000 + 3600 },
  ])
    await assert.rejects(tokens.authenticateToken(await token(claims)), { code: 401 })
  await assert.rejects(tokens.authenticateToken(await token(good, 'one', keys.second.privateKey)), {
    code: 401,
  })
  assert.equal(
    await tokens.authenticateToken(await token({ iss: 'https://else.where' })),
    undefined,
  )
  assert.equal(await tokens.authenticateToken('not.a.token'), undefined)
})

test('expressions read claims, and refuse users', async () => {
  const tokens = tokensOf({
    claimMappings: {
      username: { expression: "claims.email.split('@')[0]" },
      groups: { expression: "claims.roles.split(',')" },
      extra: [{ key: 'example.com/tenant', valueExpression: 'claims.tenant' }],
    },
    claimValidationRules: [
      { expression: 'claims.email_verified == true', message: 'email must be verified' },
    ],
    userValidationRules: [
      { expression: "!user.username.startsWith('system:')", message: 'reserved' },
    ],
  })
  const claims = { email: 'jane@example.com', email_verified: true, roles: 'a,b', tenant: 't1' }
  assert.deepEqual((await tokens.authenticateToken(await token(claims)))?.user, {
    name: 'jane',
    groups: ['a', 'b'],
    extra: { 'example.com/tenant': ['t1'] },
  })
  for (const wrong of [{ email_verified: false }, { email: 'system:admin@x' }, { tenant: 7 }])
    await assert.rejects(tokens.authenticateToken(await token({ ...claims, ...wrong })), {
      code: 401,
    })
})

test('when the issuer changes its keys, they are fetched again', async () => {
  const clock = virtualEnv({ start: new Date() })
  const tokens = tokensOf({}, clock.clock)
  assert.ok(await tokens.authenticateToken(await token()))
  published = [['two', keys.second.publicKey]]
  const renewed = await token({}, 'two', keys.second.privateKey)
  await assert.rejects(tokens.authenticateToken(renewed), 'not more often than every ten seconds')
  await clock.advance(10_000)
  assert.equal((await tokens.authenticateToken(renewed))?.user.name, 'oidc:jane')
  published = [['one', keys.first.publicKey]]
})

test('a configuration that is wrong says where', () => {
  const wrong = (jwt: object, more: object, message: RegExp): void =>
    assert.throws(() => {
      const [first] = parseAuthenticationConfiguration(configuration(jwt, more)).jwt
      if (first !== undefined) oidcTokens(env, first)
    }, message)
  wrong({ claimMappings: {} }, {}, /jwt\[0\]\.claimMappings\.username: is required/)
  wrong({ claimMappings: { username: { claim: 'sub' } } }, {}, /username\.prefix: is required/)
  wrong({ strange: 1 }, {}, /unknown field "jwt\[0\]\.strange"/)
  wrong({ issuer: { url: 'http://x', audiences: ['a'] } }, {}, /must be an https URL/)
  wrong({ issuer: { url: 'https://x', audiences: ['a', 'b'] } }, {}, /MatchAny/)
  wrong({ claimMappings: { username: { expression: 'claims.' } } }, {}, /compilation failed/)
  wrong({}, { kind: 'Other' }, /kind must be/)
  wrong({}, { anonymous: { enabled: false, conditions: [{ path: '/livez' }] } }, /only when/)
})

test('the configuration is read again when it changes, and a mistake in it changes nothing', async () => {
  const files = virtualEnv({ start: new Date() })
  const mapped = (prefix: string): string =>
    configuration({ claimMappings: { username: { claim: 'sub', prefix } } })
  await files.fs.write('/authn.yaml', mapped('one:'))
  const access = await openAccess(
    { ...env, fs: files.fs, clock: files.clock },
    { authenticationFile: '/authn.yaml' },
  )
  const who = async (): Promise<string | undefined> =>
    (await access.moreTokens?.[0]?.authenticateToken(await token()))?.user.name
  assert.equal(await who(), 'one:jane')
  await files.fs.write('/authn.yaml', mapped('two:'))
  await files.advance(1000)
  assert.equal(await who(), 'two:jane')
  await files.fs.write('/authn.yaml', 'nonsense')
  await files.advance(1000)
  assert.equal(await who(), 'two:jane')
  access.close()
})

test('the flags of old mean the same', async () => {
  const files = virtualEnv()
  await files.fs.write('/ca.pem', authority)
  const access = await openAccess(
    { ...env, fs: files.fs },
    {
      oidc: { issuerUrl: issuer, clientId: 'kubernetes', caFile: '/ca.pem', groupsClaim: 'groups' },
    },
  )
  const found = await access.moreTokens?.[0]?.authenticateToken(await token({ groups: 'dev' }))
  assert.equal(found?.user.name, `${issuer}#jane`)
  assert.deepEqual(found.user.groups, ['dev'])
})

test('webhooks are asked about tokens and permissions, and their answers remembered', async () => {
  const { clock, advance } = virtualEnv()
  const sent: unknown[] = []
  let isDown = false
  const webhook = { config: { url: 'https://w' }, credentials: {} }
  const call = async (_config: unknown, body: { readonly [key: string]: unknown }) => {
    if (isDown) throw new Error('down')
    sent.push(body['spec'])
    return body['kind'] === 'TokenReview'
      ? { status: { authenticated: true, user: { username: 'jo', groups: ['g'] } } }
      : { status: { allowed: true, reason: 'because' } }
  }
  const context = { env: { clock, log: silentLogger }, call: call as never, webhook }
  const tokens = webhookTokens(context, { ttlMs: 1000, audiences: ['me'] })
  for (let i = 0; i < 2; i++)
    assert.deepEqual(await tokens.authenticateToken('t'), {
      user: { name: 'jo', groups: ['g'] },
      audiences: ['me'],
    })
  assert.deepEqual(sent, [{ token: 't', audiences: ['me'] }])
  const authorizer = webhookAuthorizer(context, {
    allowedMs: 1000,
    deniedMs: 0,
    onFailure: 'noOpinion',
  })
  const attributes = {
    user: { name: 'jo', groups: ['g'] },
    verb: 'list',
    isResource: true,
    namespace: 'shop',
    group: '',
    version: 'v1',
    resource: 'pods',
    subresource: '',
    name: '',
    path: '',
    labelSelector: 'a=b',
  }
  assert.deepEqual(await authorizer.authorize(attributes), { verdict: 'allow', reason: 'because' })
  assert.deepEqual(sent[1], {
    resourceAttributes: {
      namespace: 'shop',
      verb: 'list',
      version: 'v1',
      resource: 'pods',
      labelSelector: { requirements: [{ key: 'a', operator: 'In', values: ['b'] }] },
    },
    user: 'jo',
    groups: ['g'],
  })
  isDown = true
  assert.equal((await authorizer.authorize(attributes)).verdict, 'allow')
  await advance(1001)
  assert.equal((await authorizer.authorize(attributes)).verdict, 'noOpinion')
  await assert.rejects(tokens.authenticateToken('t'), { code: 401 })
})
