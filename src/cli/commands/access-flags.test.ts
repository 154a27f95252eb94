import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseArguments } from '../arguments.ts'
import { accessOptions, accessSettings } from './access-flags.ts'

const settings = (...words: readonly string[]) =>
  accessSettings(parseArguments(words, accessOptions))

test('without a flag nothing is said, and each flag says one thing', () => {
  assert.equal(settings(), undefined)
  assert.deepEqual(settings('--anonymous-auth=false', '--token-auth-file', '/t.csv'), {
    tokenFile: '/t.csv',
    allowAnonymous: false,
  })
  assert.deepEqual(settings('--authorization-webhook-config-file=/w'), {
    authorization: { webhook: { file: '/w', allowedMs: 300_000, deniedMs: 30_000 } },
  })
  assert.deepEqual(settings('--authorization-mode=Node,RBAC', '--authorization-mode=AlwaysDeny'), {
    authorization: { modes: ['Node', 'RBAC', 'AlwaysDeny'] },
  })
  assert.deepEqual(settings('--authorization-config=/a.yaml'), {
    authorization: { file: '/a.yaml' },
  })
  assert.deepEqual(
    settings(
      '--authentication-token-webhook-config-file=/w',
      '--authentication-token-webhook-cache-ttl=1m30s',
    ),
    { tokenWebhook: { file: '/w', ttlMs: 90_000 } },
  )
  assert.deepEqual(
    settings(
      '--oidc-issuer-url=https://id',
      '--oidc-client-id=k8s',
      '--oidc-required-claim=hd=example.com',
      '--oidc-signing-algs=RS256, ES256',
    ),
    {
      oidc: {
        issuerUrl: 'https://id',
        clientId: 'k8s',
        requiredClaims: { hd: 'example.com' },
        signingAlgorithms: ['RS256', 'ES256'],
      },
    },
  )
  assert.deepEqual(settings('--service-account-issuer=https://a', '--service-account-issuer=b'), {
    issuers: ['https://a', 'b'],
  })
})

test('what cannot be is said', () => {
  assert.throws(() => settings('--oidc-issuer-url=https://id'), /go together/)
  assert.throws(() => settings('--oidc-issuer-url=http://id', '--oidc-client-id=x'), /https/)
  assert.throws(() => settings('--anonymous-auth=maybe'), /true or false/)
  assert.throws(
    () => settings('--authorization-config=/a', '--authorization-mode=RBAC'),
    /cannot be given with/,
  )
  assert.throws(
    () =>
      settings(
        '--authorization-webhook-config-file=/w',
        '--authorization-webhook-cache-authorized-ttl=soon',
      ),
    /duration/,
  )
})
