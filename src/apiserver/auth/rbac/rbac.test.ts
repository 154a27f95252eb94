import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  clusterRoleBindings,
  clusterRoles,
  roleBindings,
  roles,
  type ClusterRole,
  type PolicyRule,
} from '#api'
import type { RequestUser, ResourceRef, StatusError } from '#machinery'
import type { Transport } from '#client'
import type { Attributes } from '../../access.ts'
import type { AdmissionRequest } from '../../admission.ts'
import { unionAuthorizer, mastersAuthorizer } from '../authorizers.ts'
import { silentLogger } from '#base'
import { testReader, type TestReader } from '../reader.testing.ts'
import { followAggregation, staleRoles } from './aggregation.ts'
import { rbacAuthorizer } from './authorizer.ts'
import {
  bootstrapClusterRoleBindings,
  bootstrapClusterRoles,
  bootstrapRoleBindings,
  bootstrapRoles,
} from './bootstrap.ts'
import { ensureRbac } from './ensure.ts'
import { escalationCheck } from './escalation.ts'
import { compact, missingRules, ruleAllows } from './rules.ts'
import { rbacSource } from './source.ts'

const jane: RequestUser = { name: 'jane', groups: ['dev', 'system:authenticated'] }

function ask(user: RequestUser, verb: string, target: string): Attributes {
  const [where = '', path = ''] = target.startsWith('/') ? ['', target] : [target]
  const [namespace = '', resource = '', name = ''] = where.split(' ')
  const [plain = '', subresource = ''] = resource.split('/')
  const dot = plain.indexOf('.')
  return {
    user,
    verb,
    isResource: path === '',
    namespace: namespace === '-' ? '' : namespace,
    group: dot < 0 ? '' : plain.slice(dot + 1),
    version: 'v1',
    resource: dot < 0 ? plain : plain.slice(0, dot),
    subresource,
    name,
    path,
  }
}

function bootstrapped(): TestReader {
  const read = testReader()
  for (const role of bootstrapClusterRoles) read.put(clusterRoles, role)
  for (const binding of bootstrapClusterRoleBindings) read.put(clusterRoleBindings, binding)
  for (const role of bootstrapRoles) read.put(roles, role)
  for (const binding of bootstrapRoleBindings) read.put(roleBindings, binding)
  return read
}

const bind = (role: string, user: string) => ({
  metadata: { name: `${user}-${role}`, namespace: 'shop' },
  subjects: [{ kind: 'User', name: user }],
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
})

test('view reads in its namespace and nowhere else, and no secrets', async () => {
  const read = bootstrapped()
  const rbac = rbacAuthorizer(rbacSource(read))
  read.put(roleBindings, bind('view', 'jane'))
  const verdict = async (verb: string, target: string): Promise<string> =>
    (await rbac.authorize(ask(jane, verb, target))).verdict
  assert.equal(await verdict('list', 'shop pods'), 'allow')
  assert.equal(await verdict('get', 'shop pods/log web-0'), 'allow')
  assert.equal(await verdict('list', 'other pods'), 'noOpinion')
  assert.equal(await verdict('list', '- pods'), 'noOpinion')
  assert.equal(await verdict('list', 'shop pods.metrics.k8s.io'), 'allow')
  assert.equal(await verdict('get', 'shop secrets s'), 'noOpinion')
  assert.equal(await verdict('create', 'shop pods'), 'noOpinion')
})

test('a decision says which binding allowed it', async () => {
  const read = bootstrapped()
  read.put(roleBindings, bind('edit', 'jane'))
  const rbac = rbacAuthorizer(rbacSource(read))
  assert.deepEqual(await rbac.authorize(ask(jane, 'create', 'shop deployments.apps')), {
    verdict: 'allow',
    reason: 'RBAC: allowed by RoleBinding "jane-edit/shop" of ClusterRole "edit" to User "jane"',
  })
  assert.deepEqual(await rbac.authorize(ask(jane, 'get', '/api/v1')), {
    verdict: 'allow',
    reason:
      'RBAC: allowed by ClusterRoleBinding "system:discovery" of ClusterRole "system:discovery" to Group "system:authenticated"',
  })
})

test('changes count from the next request on, for cached users too', async () => {
  const read = bootstrapped()
  const rbac = rbacAuthorizer(rbacSource(read))
  const may = async (): Promise<boolean> =>
    (await rbac.authorize(ask(jane, 'list', 'shop pods'))).verdict === 'allow'
  assert.equal(await may(), false)
  read.put(roleBindings, bind('view', 'jane'))
  assert.equal(await may(), true)
  read.put(clusterRoles, { metadata: { name: 'view' }, rules: [] })
  assert.equal(await may(), false)
  read.put(
    clusterRoles,
    bootstrapClusterRoles.find(({ metadata }) => metadata.name === 'view'),
  )
  assert.equal(await may(), true)
  read.remove(roleBindings, 'shop', 'jane-view')
  assert.equal(await may(), false)
})

test('a binding of a role that is gone is named as the reason', async () => {
  const read = testReader()
  read.put(roleBindings, bind('gone', 'jane'))
  const rbac = rbacAuthorizer(rbacSource(read))
  assert.deepEqual(await rbac.authorize(ask(jane, 'get', 'shop pods p')), {
    verdict: 'noOpinion',
    reason: 'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found',
  })
})

test('a service account is bound by its namespace and name', async () => {
  const read = testReader()
  read.put(roles, {
    metadata: { name: 'r', namespace: 'shop' },
    rules: [{ apiGroups: [''], resources: ['pods'], resourceNames: ['web'], verbs: ['get'] }],
  })
  read.put(roleBindings, {
    metadata: { name: 'b', namespace: 'shop' },
    subjects: [{ kind: 'ServiceAccount', name: 'ci' }],
    roleRef: { kind: 'Role', name: 'r' },
  })
  const rbac = rbacAuthorizer(rbacSource(read))
  const ci: RequestUser = { name: 'system:serviceaccount:shop:ci', groups: [] }
  assert.equal((await rbac.authorize(ask(ci, 'get', 'shop pods web'))).verdict, 'allow')
  assert.equal((await rbac.authorize(ask(ci, 'get', 'shop pods db'))).verdict, 'noOpinion')
  assert.equal((await rbac.authorize(ask(ci, 'get', 'shop pods'))).verdict, 'noOpinion')
})

test('the aggregated roles come with the rules that aggregation would give them', () => {
  const all = bootstrapClusterRoles as readonly ClusterRole[]
  assert.deepEqual(staleRoles(all), [])
  const extended = [
    ...all,
    {
      metadata: {
        name: 'crontabs-view',
        labels: { 'rbac.authorization.k8s.io/aggregate-to-view': 'true' },
      },
      rules: [{ apiGroups: ['stable.example.com'], resources: ['crontabs'], verbs: ['get'] }],
    } as unknown as ClusterRole,
  ]
  assert.deepEqual(
    staleRoles(extended).map(({ role }) => role.metadata.name),
    ['view'],
  )
})

test('a role that gets a label is in the aggregated ones at once, through each other', async () => {
  const read = bootstrapped()
  let writes = 0
  const stop = new AbortController()
  const following = followAggregation({
    read,
    transport: {
      async request({ body }) {
        writes++
        return read.put(clusterRoles, body)
      },
      watch: () => Promise.reject(new Error('not asked for')),
    },
    env: { clock: { sleep: async () => undefined }, log: silentLogger },
    signal: stop.signal,
  })
  const rule: PolicyRule = { apiGroups: ['x'], resources: ['crontabs'], verbs: ['get'] }
  await settled()
  assert.equal(writes, 0)
  read.put(clusterRoles, {
    metadata: {
      name: 'crontabs',
      labels: { 'rbac.authorization.k8s.io/aggregate-to-view': 'true' },
    },
    rules: [rule],
  })
  await settled()
  for (const name of ['view', 'edit', 'admin'])
    assert.deepEqual(missingRules(read.get(clusterRoles, '', name)!.rules!, [rule]), [], name)
  read.remove(clusterRoles, '', 'crontabs')
  await settled()
  assert.equal(missingRules(read.get(clusterRoles, '', 'admin')!.rules!, [rule]).length, 1)
  stop.abort()
  await following
})

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('bootstrap rules are those of Kubernetes, each list in the order of its letters', () => {
  const rulesOf = (name: string): readonly string[] =>
    (bootstrapClusterRoles.find(({ metadata }) => metadata.name === name)?.rules ?? []).map(
      ({ apiGroups = [], resources = [], nonResourceURLs = [], resourceNames = [], verbs }) =>
        [apiGroups, resources, nonResourceURLs, resourceNames, verbs]
          .filter((list) => list.length > 0)
          .map((list) => list.map((each) => each || 'core').join(' '))
          .join(': '),
    )
  assert.deepEqual(rulesOf('system:public-info-viewer'), [
    '/healthz /livez /readyz /version /version/: get',
  ])
  assert.deepEqual(rulesOf('system:kubelet-api-admin'), [
    'core: nodes: get list watch',
    'core: nodes: proxy',
    'core: nodes/log nodes/metrics nodes/proxy nodes/stats: *',
    'core: nodes/configz nodes/healthz nodes/pods: *',
  ])
  assert.deepEqual(rulesOf('system:controller:endpointslice-controller'), [
    'core: nodes pods services: get list watch',
    'core: services/finalizers: update',
    'discovery.k8s.io: endpointslices: create delete get list update watch',
    'core events.k8s.io: events: create patch update',
  ])
  assert.deepEqual(rulesOf('system:controller:certificate-controller').slice(0, 4), [
    'certificates.k8s.io: certificatesigningrequests: delete get list watch',
    'certificates.k8s.io: certificatesigningrequests/approval certificatesigningrequests/status: update',
    'certificates.k8s.io: signers: kubernetes.io/kube-apiserver-client-kubelet: approve',
    'certificates.k8s.io: signers: kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown: sign',
  ])
  const lists = [...bootstrapClusterRoles, ...bootstrapRoles].flatMap(({ rules = [] }) =>
    rules.flatMap((rule) => Object.values(rule) as readonly (readonly string[])[]),
  )
  for (const list of lists) assert.deepEqual(list, list.toSorted())
})

test('names of bootstrap roles are unique, and every binding has its role', () => {
  const names = bootstrapClusterRoles.map(({ metadata }) => metadata.name)
  assert.equal(new Set(names).size, names.length)
  for (const { roleRef } of bootstrapClusterRoleBindings)
    assert.ok(names.includes(roleRef.name), roleRef.name)
})

test('bootstrap writes what is missing once, and mends what was taken away', async () => {
  const read = testReader()
  const kinds: Readonly<Record<string, ResourceRef>> = {
    clusterroles: clusterRoles,
    roles,
    clusterrolebindings: clusterRoleBindings,
    rolebindings: roleBindings,
  }
  const writes: string[] = []
  const transport: Transport = {
    async request({ method, path, body }) {
      const ref = kinds[path.split('/').findLast((part) => part in kinds)!]!
      if (method === 'GET') return { items: read.list(ref) }
      writes.push(`${method} ${path}`)
      return read.put(ref, body)
    },
    watch: () => Promise.reject(new Error('not asked for')),
  }
  assert.equal(await ensureRbac(transport), writes.length)
  assert.ok(writes.length > 130, String(writes.length))
  assert.equal(await ensureRbac(transport), 0)

  const view = read.get(clusterRoles, '', 'system:aggregate-to-view')!
  read.put(clusterRoles, { ...view, rules: view.rules!.slice(1) })
  read.put(clusterRoleBindings, {
    ...read.get(clusterRoleBindings, '', 'system:discovery')!,
    subjects: [],
  })
  writes.length = 0
  assert.equal(await ensureRbac(transport), 2)
  assert.deepEqual(writes.toSorted(), [
    'PUT /apis/rbac.authorization.k8s.io/v1/clusterrolebindings/system%3Adiscovery',
    'PUT /apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Aaggregate-to-view',
  ])
  assert.deepEqual(
    missingRules(read.get(clusterRoles, '', view.metadata.name)!.rules!, view.rules!),
    [],
  )
})

function write(user: RequestUser, resource: string, object: object): AdmissionRequest {
  return {
    operation: 'CREATE',
    definition: {
      facts: { group: 'rbac.authorization.k8s.io', resource },
    } as AdmissionRequest['definition'],
    subresource: '',
    namespace: 'shop',
    name: 'r',
    user,
    dryRun: false,
    object: object as AdmissionRequest['object'] & object,
    warn: () => undefined,
    signal: new AbortController().signal,
    annotate: () => undefined,
    replace: () => undefined,
    rounds: { isSecond: false, again: false },
  }
}

test('nobody gives away more than they have', async () => {
  const read = bootstrapped()
  read.put(roleBindings, bind('admin', 'jane'))
  const source = rbacSource(read)
  const rbac = rbacAuthorizer(source)
  const authorizer = unionAuthorizer([mastersAuthorizer, rbac])
  const check = escalationCheck({ source, rbac, authorizer })
  const validate = async (request: AdmissionRequest) => check.validate?.(request)
  const role = (rules: readonly PolicyRule[]) => write(jane, 'roles', { rules })
  await validate(role([{ apiGroups: [''], resources: ['pods'], verbs: ['get', 'create'] }]))
  await assert.rejects(
    validate(role([{ apiGroups: [''], resources: ['nodes', 'pods'], verbs: ['get', 'list'] }])),
    (error: StatusError) => {
      assert.equal(error.code, 403)
      assert.equal(
        error.message,
        'roles.rbac.authorization.k8s.io "r" is forbidden: user "jane" (groups=["dev" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["nodes"], Verbs:["get" "list"]}',
      )
      return true
    },
  )
  const binding = (name: string) =>
    write(jane, 'rolebindings', { roleRef: { kind: 'ClusterRole', name }, subjects: [] })
  await validate(binding('view'))
  await assert.rejects(validate(binding('cluster-admin')), /attempting to grant/)
  await assert.rejects(validate(binding('gone')), (error: StatusError) => {
    assert.equal(error.code, 404)
    assert.equal(error.message, 'clusterroles.rbac.authorization.k8s.io "gone" not found')
    return true
  })
  await assert.rejects(
    validate(role([{ apiGroups: [''], resources: ['nodes', 'apples'], verbs: ['get'] }])),
    /held:\n\{APIGroups:\[""\], Resources:\["apples"\], .*\n\{APIGroups:\[""\], Resources:\["nodes"\]/,
  )
  assert.equal(check.handles(write({ name: 'x', groups: ['system:masters'] }, 'roles', {})), false)
})

const anyList = (...items: string[]) =>
  fc.uniqueArray(fc.constantFrom(...items), { minLength: 1, maxLength: 3 })
const anyRule: fc.Arbitrary<PolicyRule> = fc.oneof(
  fc.record({
    apiGroups: anyList('', 'apps', '*'),
    resources: anyList('pods', 'pods/log', 'secrets', '*/log', '*'),
    resourceNames: fc.oneof(fc.constant([]), anyList('a', 'b')),
    verbs: anyList('get', 'list', '*'),
  }),
  fc.record({ nonResourceURLs: anyList('/api', '/api/*', '*'), verbs: anyList('get', '*') }),
)

test('rules that are covered allow nothing that their owner does not', () => {
  const targets = [
    'n pods a',
    'n pods c',
    'n pods/log a',
    'n secrets b',
    'n sets.apps a',
    '/api',
    '/api/v1',
    '/x',
  ]
  fc.assert(
    fc.property(fc.array(anyRule), fc.array(anyRule), (owner, servant) => {
      if (missingRules(owner, servant).length > 0) return
      for (const verb of ['get', 'list', 'delete'])
        for (const target of targets) {
          const attributes = ask(jane, verb, target)
          if (!servant.some((rule) => ruleAllows(rule, attributes))) continue
          assert.ok(
            owner.some((rule) => ruleAllows(rule, attributes)),
            `${verb} ${target}`,
          )
        }
    }),
    { numRuns: 500 },
  )
})

test('rules miss nothing of themselves, and stay the same when put together', () => {
  fc.assert(
    fc.property(fc.array(anyRule), (rules) => {
      assert.deepEqual(missingRules(rules, rules), [])
      assert.deepEqual(missingRules(compact(rules), rules), [])
      assert.deepEqual(missingRules(rules, compact(rules)), [])
    }),
  )
})
