import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { configMap, mirror } from '../mirror.ts'
import { templates } from '../support.ts'

const label = (value: string): Json => ({ metadata: { labels: { 'watch-this-configmap': value } } })
const selecting = (...values: string[]): Record<string, string> => ({
  labelSelector: `watch-this-configmap in (${values.join(',')})`,
})

mirror(
  '[sig-api-machinery] Watchers should observe add, update, and delete watch notifications on configmaps [Conformance]',
  async ({ api, ns }) => {
    const path = ns('configmaps')
    const [a, b, both] = await Promise.all([
      api.watch(path, selecting('A')),
      api.watch(path, selecting('B')),
      api.watch(path, selecting('A', 'B')),
    ])
    // What is seen is what was answered, whole.
    const made = await api.post(path, configMap('a', label('A')))
    for (const watching of [a, both])
      assert.deepEqual(
        (await watching.next('a added', ({ type }) => type === 'ADDED')).object,
        made,
      )
    for (const mutation of ['1', '2']) {
      const changed = await api.put(
        `${path}/a`,
        configMap('a', { ...label('A'), data: { mutation } }),
      )
      for (const watching of [a, both]) {
        const { object } = await watching.next(
          `mutation ${mutation}`,
          ({ type }) => type === 'MODIFIED',
        )
        assert.deepEqual(object, changed)
      }
    }
    await api.delete(`${path}/a`)
    for (const watching of [a, both])
      await watching.next(
        'a deleted',
        ({ type, object }) => type === 'DELETED' && object['data'].mutation === '2',
      )
    await api.post(path, configMap('b', label('B')))
    for (const watching of [b, both])
      await watching.next(
        'b added',
        ({ type, object }) => type === 'ADDED' && object['metadata'].name === 'b',
      )
    await api.delete(`${path}/b`)
    for (const watching of [b, both])
      await watching.next('b deleted', ({ type }) => type === 'DELETED')
    assert.deepEqual(
      a.frames.map((f) => f.type),
      ['ADDED', 'MODIFIED', 'MODIFIED', 'DELETED'],
    )
    assert.deepEqual(
      b.frames.map((f) => f.type),
      ['ADDED', 'DELETED'],
    )
    for (const watching of [a, b, both]) watching.stop()
  },
)

mirror(
  '[sig-api-machinery] Watchers should be able to start watching from a specific resource version [Conformance]',
  async ({ api, ns }) => {
    const path = ns('configmaps')
    await api.post(path, configMap('w', label('from-version')))
    const first = await api.patch(`${path}/w`, { data: { mutation: '1' } }, 'merge')
    await api.patch(`${path}/w`, { data: { mutation: '2' } }, 'merge')
    await api.delete(`${path}/w`)
    const watching = await api.watch(path, {
      ...selecting('from-version'),
      resourceVersion: first['metadata'].resourceVersion,
    })
    await watching.next('the deletion', ({ type }) => type === 'DELETED')
    assert.deepEqual(
      watching.frames.map(({ type, object }) => [type, object['data'].mutation]),
      [
        ['MODIFIED', '2'],
        ['DELETED', '2'],
      ],
    )
    watching.stop()
  },
)

mirror(
  '[sig-api-machinery] Watchers should be able to restart watching from the last resource version observed by the previous watch [Conformance]',
  async ({ api, ns }) => {
    const path = ns('configmaps')
    const before = await api.watch(path, selecting('restart'))
    await api.post(path, configMap('w', label('restart')))
    await api.patch(`${path}/w`, { data: { mutation: '1' } }, 'merge')
    const last = await before.next('the first change', ({ type }) => type === 'MODIFIED')
    before.stop()
    await api.patch(`${path}/w`, { data: { mutation: '2' } }, 'merge')
    await api.delete(`${path}/w`)
    const again = await api.watch(path, {
      ...selecting('restart'),
      resourceVersion: last.object['metadata'].resourceVersion,
    })
    await again.next('the deletion', ({ type }) => type === 'DELETED')
    assert.deepEqual(
      again.frames.map((f) => f.type),
      ['MODIFIED', 'DELETED'],
    )
    again.stop()
  },
)

mirror(
  '[sig-api-machinery] Watchers should observe an object deletion if it stops meeting the requirements of the selector [Conformance]',
  async ({ api, ns }) => {
    const path = ns('configmaps')
    const watching = await api.watch(path, selecting('changed'))
    await api.post(path, configMap('w', label('changed')))
    await watching.next('added', ({ type }) => type === 'ADDED')
    await api.patch(`${path}/w`, { data: { mutation: '1' } }, 'merge')
    await watching.next('modified', ({ type }) => type === 'MODIFIED')
    await api.patch(`${path}/w`, { ...label('other'), data: { mutation: '2' } }, 'merge')
    await watching.next('left the selection', ({ type }) => type === 'DELETED')
    await api.patch(`${path}/w`, { data: { mutation: '3' } }, 'merge')
    await api.patch(`${path}/w`, label('changed'), 'merge')
    await watching.next(
      'came back',
      ({ type, object }) => type === 'ADDED' && object['data'].mutation === '3',
    )
    await api.delete(`${path}/w`)
    await watching.next('deleted', ({ type }) => type === 'DELETED')
    assert.deepEqual(
      watching.frames.map((f) => f.type),
      ['ADDED', 'MODIFIED', 'DELETED', 'ADDED', 'DELETED'],
    )
    watching.stop()
  },
)

mirror(
  '[sig-api-machinery] Watchers should receive events on concurrent watches in same order [Conformance]',
  async ({ api, ns }) => {
    const path = ns('configmaps')
    const { metadata } = await api.get(path)
    const first = await api.watch(path, { resourceVersion: metadata.resourceVersion })
    const others = []
    for (let i = 0; i < 60; i++) {
      const name = `c-${i % 7}`
      const answer = await api.call('POST', path, { body: configMap(name) })
      if (answer.status === 409) {
        if (i % 3 === 0) await api.delete(`${path}/${name}`)
        else await api.patch(`${path}/${name}`, { data: { i: String(i) } }, 'merge')
      }
      const seen = first.frames.at(-1)
      if (i % 5 === 0 && seen !== undefined) {
        others.push(
          await api.watch(path, { resourceVersion: seen.object['metadata'].resourceVersion }),
        )
      }
    }
    await api.post(path, configMap('last'))
    const versions = (frames: readonly { object: Json }[]): string[] =>
      frames.map((f) => String(f.object['metadata'].resourceVersion))
    await first.next('the last', ({ object }) => object['metadata'].name === 'last')
    for (const watching of others) {
      await watching.next('the last', ({ object }) => object['metadata'].name === 'last')
      assert.deepEqual(
        versions(watching.frames),
        versions(first.frames).slice(-watching.frames.length),
      )
      watching.stop()
    }
    first.stop()
  },
)

mirror(
  '[sig-api-machinery] Servers with support for Table transformation should return a 406 for a backend which does not implement metadata [Conformance]',
  async ({ api }) => {
    const answer = await api.call(
      'POST',
      '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
      {
        body: {
          apiVersion: 'authorization.k8s.io/v1',
          kind: 'SelfSubjectAccessReview',
          spec: { resourceAttributes: { namespace: 'default', verb: 'get', resource: 'pods' } },
        },
        headers: { accept: 'application/json;as=Table;g=meta.k8s.io;v=v1' },
      },
    )
    assert.equal(answer.status, 406)
    assert.equal(answer.json['reason'], 'NotAcceptable')
  },
)

mirror(
  '[sig-api-machinery] server version should find the server version [Conformance]',
  async ({ api }) => {
    const version = await api.get('/version')
    assert.match(version['major'], /^\d+$/)
    assert.match(version['minor'], /^\d+\+?$/)
  },
)

mirror(
  '[sig-api-machinery] Discovery should validate PreferredVersion for each APIGroup [Conformance]',
  async ({ api }) => {
    const { groups } = await api.get('/apis/')
    assert.ok(groups.length > 10)
    for (const group of groups) {
      // Groups of other tests come and go.
      if (group.name.endsWith('.example.com')) continue
      const document = await api.get(`/apis/${group.name}/`)
      assert.deepEqual(document['preferredVersion'], group.preferredVersion)
      const known = group.versions.map((v: Json) => v['groupVersion'])
      assert.ok(known.includes(group.preferredVersion.groupVersion), group.name)
    }
  },
)

mirror(
  '[sig-api-machinery] Discovery should locate the groupVersion and a resource within each APIGroup [Conformance]',
  async ({ api }) => {
    const expected: readonly (readonly [string, string])[] = [
      ['admissionregistration.k8s.io/v1', 'validatingwebhookconfigurations'],
      ['apiextensions.k8s.io/v1', 'customresourcedefinitions'],
      ['apiregistration.k8s.io/v1', 'apiservices'],
      ['apps/v1', 'deployments'],
      ['authentication.k8s.io/v1', 'tokenreviews'],
      ['authorization.k8s.io/v1', 'selfsubjectaccessreviews'],
      ['autoscaling/v1', 'horizontalpodautoscalers'],
      ['autoscaling/v2', 'horizontalpodautoscalers'],
      ['batch/v1', 'jobs'],
      ['certificates.k8s.io/v1', 'certificatesigningrequests'],
      ['coordination.k8s.io/v1', 'leases'],
      ['discovery.k8s.io/v1', 'endpointslices'],
      ['events.k8s.io/v1', 'events'],
      ['networking.k8s.io/v1', 'ingresses'],
      ['node.k8s.io/v1', 'runtimeclasses'],
      ['policy/v1', 'poddisruptionbudgets'],
      ['scheduling.k8s.io/v1', 'priorityclasses'],
      ['rbac.authorization.k8s.io/v1', 'roles'],
      ['storage.k8s.io/v1', 'storageclasses'],
    ]
    for (const [groupVersion, resource] of expected) {
      const document = await api.get(`/apis/${groupVersion}`)
      assert.equal(document['groupVersion'], groupVersion)
      assert.ok(
        document['resources'].some((r: Json) => r['name'] === resource),
        `${groupVersion} ${resource}`,
      )
    }
  },
)

mirror(
  '[sig-api-machinery] Servers with support for API chunking should return chunks of results for list calls [Conformance]',
  async ({ api, ns }) => {
    const path = ns('podtemplates')
    const total = 400
    const names = await templates(api, path, total)
    for (const limit of [1, 7, 64, 399, 400, 401]) {
      if (limit === 1 && total > 100) continue
      const seen: string[] = []
      let next: string | undefined
      let version: string | undefined
      do {
        const page: Json = await api.get(path, {
          limit,
          ...(next === undefined ? {} : { continue: next }),
        })
        assert.ok(page['items'].length <= limit)
        version ??= page['metadata'].resourceVersion
        assert.equal(page['metadata'].resourceVersion, version)
        seen.push(...page['items'].map((item: Json) => item['metadata'].name as string))
        next = page['metadata'].continue
        const left = total - seen.length
        if (next === undefined || next === '')
          assert.equal(page['metadata'].remainingItemCount, undefined)
        else assert.equal(page['metadata'].remainingItemCount, left)
      } while (next !== undefined && next !== '')
      assert.deepEqual(seen, names)
    }
    const whole = await api.get(path)
    assert.deepEqual(
      whole['items'].map((item: Json) => item['metadata'].name),
      names,
    )
  },
)

mirror(
  '[sig-api-machinery] FieldValidation should detect unknown and duplicate fields of a typed object [Conformance]',
  async ({ api, namespace }) => {
    const path = `/apis/apps/v1/namespaces/${namespace}/deployments`
    const body = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"my-dep","labels":{"app":"nginx"}},
    "spec":{"unknownField":"foo","replicas":2,"replicas":3,"paused":true,"paused":false,
    "selector":{"matchLabels":{"app":"nginx"}},"template":{"metadata":{"labels":{"app":"nginx"}},
    "spec":{"containers":[{"name":"nginx","image":"nginx:latest","unknownNested":"val1","imagePullPolicy":"Always","imagePullPolicy":"Never"}]}}}}`
    const query = { fieldManager: 'field_validation_mgr', fieldValidation: 'Strict' }
    const answer = await api.call('POST', path, { body, query })
    assert.equal(answer.status, 400)
    for (const part of [
      'strict decoding error: ',
      'unknown field "spec.unknownField", duplicate field "spec.replicas"',
      'duplicate field "spec.paused"',
      'unknown field "spec.template.spec.containers[0].unknownNested"',
      'duplicate field "spec.template.spec.containers[0].imagePullPolicy"',
    ]) {
      assert.ok(answer.json['message'].includes(part), `${part} in ${answer.json['message']}`)
    }
    // Whose content is not named is taken for JSON.
    const plain = await api.call('POST', path, { body, query, headers: { 'content-type': '' } })
    assert.equal(plain.json['message'], answer.json['message'])
  },
)

mirror(
  '[sig-api-machinery] FieldValidation should detect unknown metadata fields of a typed object [Conformance]',
  async ({ api, namespace }) => {
    const answer = await api.call('POST', `/apis/apps/v1/namespaces/${namespace}/deployments`, {
      query: { fieldValidation: 'Strict' },
      body: {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'meta', unknownMeta: 'unknown', labels: { app: 'nginx' } },
        spec: {
          selector: { matchLabels: { app: 'nginx' } },
          template: {
            metadata: { labels: { app: 'nginx' } },
            spec: { containers: [{ name: 'nginx', image: 'nginx' }] },
          },
        },
      },
    })
    assert.equal(answer.status, 400)
    assert.match(answer.json['message'], /unknown field "metadata.unknownMeta"/)
  },
)
