import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import type { JsonObject } from '#machinery'
import type { Attributes, Authorizer } from '../../access.ts'
import { chainAuthorizer } from './chain.ts'
import { parseAuthorizationConfiguration } from './config.ts'
import { openAuthorization, type AuthorizationOptions } from './index.ts'

const KUBECONFIG = `
apiVersion: v1
kind: Config
current-context: a
contexts: [{ name: a, context: { cluster: a, user: a } }]
clusters: [{ name: a, cluster: { server: 'https://hooks.test/NAME' } }]
users: [{ name: a, user: { token: secret } }]
`
const webhook = (name: string, more = '', policy = 'Deny'): string => `
- type: Webhook
  name: ${name}
  webhook:
    authorizedTTL: 5m
    unauthorizedTTL: 30s
    timeout: 3s
    subjectAccessReviewVersion: v1
    failurePolicy: ${policy}
    connectionInfo: { type: KubeConfigFile, kubeConfigFile: /etc/${name} }
${more}`
const config = (...authorizers: readonly string[]): string =>
  `apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n${authorizers.join('\n')}`
const NODE = '- { type: Node, name: node }'
const RBAC = '- { type: RBAC, name: rbac }'

const about = (more: Partial<Attributes> = {}): Attributes => ({
  user: { name: 'jo', groups: ['system:authenticated'] },
  verb: 'get',
  isResource: true,
  namespace: 'shop',
  group: '',
  version: 'v1',
  resource: 'pods',
  subresource: '',
  name: 'web',
  path: '',
  ...more,
})
const says = (verdict: 'allow' | 'noOpinion'): Authorizer => ({
  authorize: async () => ({ verdict, reason: '' }),
})

async function setting(
  options: AuthorizationOptions,
  files: Readonly<Record<string, string>> = {},
  roles: Authorizer = says('noOpinion'),
) {
  const env = virtualEnv()
  await env.fs.makeFolder('/etc')
  for (const name of ['first', 'second'])
    await env.fs.write(`/etc/${name}`, KUBECONFIG.replace('NAME', name))
  for (const [file, text] of Object.entries(files)) await env.fs.write(file, text)
  /** By webhook: what it answers. */
  const answers: Record<string, JsonObject | undefined> = {}
  const asked: string[] = []
  const call = async ({ url = '' }: { readonly url?: string }) => {
    const name = url.split('/').at(-1) ?? ''
    asked.push(name)
    const status = answers[name]
    if (status === undefined) throw new Error('down')
    return { status }
  }
  const chain = await openAuthorization(env, call as never, options)
  const own = { Node: says('noOpinion'), RBAC: roles }
  const authorizer = chainAuthorizer(chain.links, own, env.metrics)
  const ask = async (more: Partial<Attributes> = {}): Promise<string> =>
    (await authorizer.authorize(about(more))).verdict
  return { env, chain, answers, asked, ask }
}
const FILE = '/etc/authz.yaml'
const withFile = (...authorizers: readonly string[]) =>
  setting({ file: FILE }, { [FILE]: config(...authorizers) })

test('webhooks are asked in their order, and the first with an opinion decides', async () => {
  const { answers, asked, ask, env } = await withFile(webhook('first'), webhook('second'), RBAC)
  answers['first'] = { allowed: false }
  answers['second'] = { allowed: true }
  assert.equal(await ask(), 'allow')
  assert.deepEqual(asked, ['first', 'second'])
  answers['first'] = { allowed: false, denied: true }
  assert.equal(await ask({ name: 'other' }), 'deny')
  assert.deepEqual(asked, ['first', 'second', 'first'])
  const text = await env.metrics.text()
  assert.match(
    text,
    /apiserver_authorization_decisions_total\{type="Webhook",name="second",decision="allowed"\} 1\n/,
  )
  assert.match(
    text,
    /apiserver_authorization_decisions_total\{type="Webhook",name="first",decision="denied"\} 1\n/,
  )
})

test('a webhook that cannot be asked denies or has no opinion, as its policy says', async () => {
  assert.equal(await (await withFile(webhook('first'), RBAC)).ask(), 'deny')
  const lenient = await withFile(webhook('first', '', 'NoOpinion'), webhook('second'))
  lenient.answers['second'] = { allowed: true }
  assert.equal(await lenient.ask(), 'allow')
})

test('members of system:masters are asked about by nobody', async () => {
  const { ask, asked } = await withFile(webhook('first'))
  assert.equal(await ask({ user: { name: 'root', groups: ['system:masters'] } }), 'allow')
  assert.deepEqual(asked, [])
})

test('match conditions spare the webhook; one that fails follows the failure policy', async () => {
  const conditions = `    matchConditionSubjectAccessReviewVersion: v1
    matchConditions:
    - expression: has(request.resourceAttributes)
    - expression: request.resourceAttributes.namespace == 'kube-system'
    - expression: "!('system:serviceaccounts:kube-system' in request.groups)"`
  const { answers, asked, ask } = await withFile(webhook('first', conditions))
  answers['first'] = { allowed: false, denied: true }
  assert.equal(await ask(), 'noOpinion')
  assert.equal(await ask({ isResource: false, path: '/healthz' }), 'noOpinion')
  assert.deepEqual(asked, [])
  assert.equal(await ask({ namespace: 'kube-system' }), 'deny')
  assert.deepEqual(asked, ['first'])
  const failing = `    matchConditionSubjectAccessReviewVersion: v1
    matchConditions:
    - expression: request.extra['team'][0] == 'a'`
  const strict = await withFile(webhook('first', failing))
  assert.equal(await strict.ask(), 'deny')
  const mild = await withFile(webhook('first', failing, 'NoOpinion'), RBAC)
  assert.equal(await mild.ask(), 'noOpinion')
  assert.deepEqual([...strict.asked, ...mild.asked], [])
})

test('the file is read again when it changes; a mistake in it changes nothing', async () => {
  const { env, ask, answers, asked, chain } = await withFile(NODE, RBAC)
  answers['first'] = { allowed: true }
  assert.equal(await ask(), 'noOpinion')
  await env.fs.write(FILE, config(webhook('first'), NODE, RBAC))
  await env.advance(1000)
  assert.equal(await ask(), 'allow')
  await env.fs.write(FILE, 'nonsense')
  await env.advance(1000)
  assert.equal(await ask({ name: 'b' }), 'allow')
  await env.fs.write(FILE, config(NODE))
  await env.advance(1000)
  assert.equal(await ask({ name: 'c' }), 'allow')
  await env.fs.write(FILE, config(NODE, RBAC))
  await env.advance(1000)
  assert.equal(await ask({ name: 'd' }), 'noOpinion')
  assert.deepEqual(asked, ['first', 'first', 'first'])
  chain.close()
  await env.fs.write(FILE, config(webhook('first'), NODE, RBAC))
  await env.advance(1000)
  assert.equal(await ask({ name: 'e' }), 'noOpinion')
})

test('modes are a list of names', async () => {
  assert.equal(await (await setting({ modes: ['Node', 'RBAC'] }, {}, says('allow'))).ask(), 'allow')
  assert.equal(await (await setting({ modes: ['AlwaysDeny'] }, {}, says('allow'))).ask(), 'deny')
  assert.equal(await (await setting({ modes: ['RBAC', 'AlwaysAllow'] })).ask(), 'allow')
  await assert.rejects(setting({ modes: ['Nobody'] }), /"Nobody" is not a valid mode/)
  await assert.rejects(setting({ modes: ['RBAC', 'RBAC'] }), /more than once/)
  await assert.rejects(setting({ modes: ['Webhook'] }), /--authorization-webhook-config-file/)
  const line = (spec: object): string =>
    JSON.stringify({ apiVersion: 'abac.authorization.kubernetes.io/v1beta1', kind: 'Policy', spec })
  const rules = [
    line({ user: 'jo', namespace: 'shop', resource: 'pods', readonly: true }),
    '# people',
    line({ group: 'system:authenticated', nonResourcePath: '/version*', readonly: true }),
  ].join('\n')
  const { ask } = await setting({ modes: ['ABAC'], policyFile: '/abac' }, { '/abac': rules })
  assert.equal(await ask(), 'allow')
  assert.equal(await ask({ verb: 'delete' }), 'noOpinion')
  assert.equal(await ask({ namespace: 'other' }), 'noOpinion')
  assert.equal(await ask({ isResource: false, path: '/version/x' }), 'allow')
})

test('mistakes in the file are told field by field', () => {
  const problems = (...authorizers: readonly string[]): string => {
    try {
      parseAuthorizationConfiguration(config(...authorizers))
    } catch (error) {
      return (error as Error).message
    }
    return ''
  }
  assert.equal(problems(NODE, webhook('first'), RBAC), '')
  assert.equal(problems('- { type: Node }'), 'authorizers[0].name: Required value')
  assert.match(
    problems('- { type: Odd, name: a }'),
    /authorizers\[0\].type: Unsupported value: "Odd"/,
  )
  assert.equal(
    problems(RBAC, '- { type: RBAC, name: rbac }'),
    'authorizers[1].type: Duplicate value: "RBAC"\nauthorizers[1].name: Duplicate value: "rbac"',
  )
  assert.equal(
    problems('- { type: Webhook, name: a, webhook: {} }'),
    [
      'timeout',
      'subjectAccessReviewVersion',
      'failurePolicy',
      'connectionInfo.type',
      'authorizedTTL',
      'unauthorizedTTL',
    ]
      .map((field) => `authorizers[0].webhook.${field}: Required value`)
      .join('\n'),
  )
  assert.match(
    problems(webhook('first').replace('3s', '60s')),
    /timeout: Invalid value: "60s": must be <= 30s/,
  )
  assert.match(
    problems('- { type: RBAC, name: a, color: red }'),
    /unknown field "authorizers\[0\].color"/,
  )
})

test('an expression that does not compile is refused at the start', async () => {
  const wrong = `    matchConditionSubjectAccessReviewVersion: v1
    matchConditions:
    - expression: request.colour == 'red'`
  await assert.rejects(
    withFile(webhook('first', wrong)),
    /matchConditions\[0\].expression: .*colour/s,
  )
})
