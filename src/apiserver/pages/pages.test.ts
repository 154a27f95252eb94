import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StatusError, type JsonObject } from '#machinery'
import type { AdmissionPlugin } from '../admission.ts'
import { send, testServer } from '../server.testing.ts'

test('discovery lists groups, versions and resources, with and without a slash at the end', async () => {
  const { server } = await testServer()
  const read = async (path: string) => (await send(server, `GET ${path}`)).json
  assert.deepEqual((await read('/api'))['versions'], ['v1'])
  for (const path of ['/apis', '/apis/']) {
    const groups = (await read(path))['groups'] as { name: string }[]
    assert.ok(groups.some(({ name }) => name === 'apps'))
    assert.ok(groups.every(({ name }) => name !== ''))
  }
  const group = (await read('/apis/autoscaling')) as { preferredVersion?: { version: string } }
  assert.equal(group.preferredVersion?.version, 'v2')
  const core = (await read('/api/v1')) as { resources?: { name: string; verbs: string[] }[] }
  const pods = core.resources?.find(({ name }) => name === 'pods')
  assert.ok(pods?.verbs.includes('watch'))
  assert.ok(core.resources?.some(({ name }) => name === 'pods/eviction'))
  assert.equal((await send(server, 'GET /apis/nothing')).status, 404)
})

test('aggregated discovery is one document, with a tag for those who have it', async () => {
  const { server } = await testServer()
  const type = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'
  const accept = `${type},application/json`
  const first = await send(server, 'GET /apis', undefined, { accept })
  assert.equal(first.headers['content-type'], type)
  assert.equal(first.json['kind'], 'APIGroupDiscoveryList')
  const items = first.json['items'] as { metadata: { name: string }; versions: JsonObject[] }[]
  const apps = items.find(({ metadata }) => metadata.name === 'apps')
  const resources = apps?.versions[0]?.['resources'] as { resource: string; scope: string }[]
  assert.ok(
    resources.some(({ resource, scope }) => resource === 'deployments' && scope === 'Namespaced'),
  )
  const etag = String(first.headers['etag'])
  const again = await send(server, 'GET /apis', undefined, { accept, 'if-none-match': etag })
  assert.equal(again.status, 304)
  const plain = await send(server, 'GET /apis', undefined, { accept: 'application/json' })
  assert.equal(plain.json['kind'], 'APIGroupList')
})

test('discovery follows resources that come and go', async () => {
  const { server } = await testServer()
  const pods = server.inside.definitionOf('', 'pods')
  assert.ok(pods)
  const facts = { ...pods.facts, group: 'example.com', resource: 'things', kind: 'Thing' }
  const things = { ...pods, facts, storagePrefix: '/registry/example.com/things/' }
  server.addResource(things)
  const url = '/apis/example.com/v1/namespaces/shop/things'
  const body = {
    metadata: { name: 'a' },
    spec: { containers: [{ name: 'main', image: 'web:1' }] },
  }
  assert.equal((await send(server, `POST ${url}`, body)).status, 201)
  assert.equal((await send(server, 'GET /apis/example.com/v1')).status, 200)
  server.removeResource(things)
  assert.equal((await send(server, `GET ${url}`)).status, 404)
  assert.equal((await send(server, 'GET /apis/example.com/v1')).status, 404)
})

test('version says 1.36', async () => {
  const { server } = await testServer()
  const { json } = await send(server, 'GET /version')
  assert.equal(json['major'], '1')
  assert.equal(json['minor'], '36')
})

test('health is told in a word, check by check, and one check alone', async () => {
  let fails = false
  const { server } = await testServer({
    readyChecks: {
      extra() {
        if (fails) throw new Error('it is not there')
      },
    },
  })
  assert.equal((await send(server, 'GET /readyz')).text, 'ok')
  assert.match(
    (await send(server, 'GET /readyz?verbose')).text,
    /\[\+\]extra ok\n.*readyz check passed\n$/s,
  )
  fails = true
  const failed = await send(server, 'GET /readyz')
  assert.equal(failed.status, 500)
  assert.match(failed.text, /\[-\]extra failed: reason withheld\n.*readyz check failed/s)
  assert.equal((await send(server, 'GET /readyz?exclude=extra')).status, 200)
  assert.equal((await send(server, 'GET /readyz/extra')).status, 500)
  const strange = await send(server, 'GET /readyz?exclude=extra&exclude=none&verbose')
  assert.match(strange.text, /\[\+\]extra excluded: ok\n/)
  assert.match(strange.text, /warn: some health checks cannot be excluded: no matches for "none"\n/)
  assert.equal((await send(server, 'GET /livez')).text, 'ok')
  const slis = (await send(server, 'GET /metrics/slis')).text
  assert.match(slis, /^kubernetes_healthcheck\{name="extra",type="readyz"\} 0$/m)
  assert.match(slis, /^kubernetes_healthcheck\{name="etcd",type="livez"\} 1$/m)
})

test('metrics count requests and objects', async () => {
  const { server } = await testServer()
  await send(server, 'POST /api/v1/namespaces', { metadata: { name: 'a' } })
  const { text } = await send(server, 'GET /metrics')
  assert.match(text, /apiserver_request_total\{verb="POST",[^}]*code="201"\} 1\n/)
  assert.match(text, /apiserver_storage_objects\{resource="namespaces"\} 1\n/)
  assert.match(
    text,
    /etcd_request_duration_seconds_count\{operation="create",group="",resource="namespaces"\} 1\n/,
  )
  assert.match(text, /apiserver_current_inflight_requests\{request_kind="readOnly"\} \d\n/)
  assert.match(
    text,
    /apiserver_request_duration_seconds_bucket\{le="\+Inf",[^}]*verb="POST"[^}]*\} 1\n/,
  )
})

test('metrics say what upstream says: verbs, scopes, pages, filters, admission; and no invented paths', async () => {
  const plugin: AdmissionPlugin = {
    name: 'Picky',
    handles: () => true,
    async validate({ name }) {
      if (name === 'bad') throw new StatusError('Forbidden', 'no')
    },
  }
  const { server, api } = await testServer({ extensions: { admission: [plugin] } })
  const maps = '/api/v1/namespaces/shop/configmaps'
  const map = (name: string) => ({ metadata: { name } })
  await send(server, `POST ${maps}`, map('a'))
  await send(server, `POST ${maps}`, map('bad'))
  await send(server, `POST ${maps}?dryRun=All`, map('b'))
  await send(server, `GET ${maps}`)
  await send(server, 'GET /api/v1/configmaps')
  await send(server, 'GET /readyz/ping')
  for (let i = 0; i < 20; i++) await send(server, `GET /apis/x${i}.dev/v1/toys${i}`)
  await send(server, 'BREW /readyz')
  await api.request({ method: 'GET', path: maps })
  const { text } = await send(server, 'GET /metrics')
  const where = 'group="",version="v1",resource="configmaps",subresource=""'
  for (const line of [
    `apiserver_request_total{verb="POST",dry_run="",${where},scope="resource",component="apiserver",code="201"} 1`,
    `apiserver_request_total{verb="POST",dry_run="",${where},scope="resource",component="apiserver",code="403"} 1`,
    `apiserver_request_total{verb="POST",dry_run="All",${where},scope="resource",component="apiserver",code="201"} 1`,
    `apiserver_request_total{verb="LIST",dry_run="",${where},scope="namespace",component="apiserver",code="200"} 2`,
    `apiserver_request_total{verb="LIST",dry_run="",${where},scope="cluster",component="apiserver",code="200"} 1`,
    `apiserver_request_sli_duration_seconds_count{verb="LIST",dry_run="",${where},scope="cluster",component="apiserver"} 1`,
    `apiserver_response_sizes_count{verb="LIST",${where},scope="cluster",component="apiserver"} 1`,
    'apiserver_request_total{verb="GET",dry_run="",group="",version="",resource="",subresource="/readyz",scope="",component="apiserver",code="200"} 1',
    'apiserver_request_total{verb="other",dry_run="",group="",version="",resource="other",subresource="",scope="",component="apiserver",code="404"} 20',
    'apiserver_admission_controller_admission_duration_seconds_count{name="Picky",operation="CREATE",rejected="true",type="validate"} 1',
    'apiserver_admission_controller_admission_duration_seconds_count{name="Picky",operation="CREATE",rejected="false",type="validate"} 2',
    'apiserver_admission_step_admission_duration_seconds_count{operation="CREATE",rejected="false",type="admit"} 3',
    'apiserver_resource_objects{group="",resource="configmaps"} 1',
    'apiserver_cache_list_returned_objects_total{group="",resource="configmaps"} 3',
    'rest_client_requests_total{code="200",method="GET",host="in-process"} 1',
  ])
    assert.ok(text.includes(`${line}\n`), `${line}\n${text.replaceAll(/.*_bucket.*\n/g, '')}`)
  assert.match(text, /^authentication_attempts\{result="success"\} 28$/m)
  assert.match(text, /^authorization_attempts_total\{result="allowed"\} \d\d$/m)
  assert.match(text, /kubernetes_build_info\{[^}]*major="1",minor="36",/)
  assert.ok(!text.includes('toys'))
})

test('each group version has its description at an address that names its content', async () => {
  const { server } = await testServer()
  const { paths } = (await send(server, 'GET /openapi/v3')).json as {
    paths?: Record<string, { serverRelativeURL: string }>
  }
  const url = paths?.['apis/apps/v1']?.serverRelativeURL ?? ''
  assert.match(url, /^\/openapi\/v3\/apis\/apps\/v1\?hash=[0-9A-F]+$/)
  const { status, json, headers } = await send(server, `GET ${url}`)
  assert.equal(status, 200)
  const document = json as {
    openapi?: string
    components?: { schemas: JsonObject }
    paths?: JsonObject
  }
  assert.equal(document.openapi, '3.0.0')
  assert.ok(document.components?.schemas['io.k8s.api.apps.v1.Deployment'])
  assert.ok(document.paths?.['/apis/apps/v1/namespaces/{namespace}/deployments/{name}'])
  const again = await send(server, `GET ${url}`, undefined, {
    'if-none-match': String(headers['etag']),
  })
  assert.equal(again.status, 304)
  assert.equal((await send(server, 'GET /openapi/v3/apis/apps/v1?hash=0')).status, 301)
  assert.equal((await send(server, 'GET /openapi/v3/apis/nothing/v1')).status, 404)
})

test('the old description is one document, in JSON or protobuf', async () => {
  const { server } = await testServer()
  const { json } = await send(server, 'GET /openapi/v2')
  assert.equal(json['swagger'], '2.0')
  assert.ok((json['definitions'] as JsonObject)['io.k8s.api.core.v1.Pod'])
  const accept = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf'
  const old = await send(server, 'GET /openapi/v2', undefined, { accept })
  assert.equal(old.headers['content-type'], accept)
  const none = await send(server, 'GET /openapi/v2', undefined, { accept: 'text/html' })
  assert.equal(none.status, 406)
})

test('descriptions carry the texts of those who have them', async () => {
  const { server } = await testServer({
    descriptions: {
      async load(definitions) {
        const known = new Set(definitions)
        return (definition, field) =>
          known.has(definition) ? `text of ${field ?? 'the type'}` : undefined
      },
    },
  })
  const { json } = await send(server, 'GET /openapi/v3/apis/apps/v1')
  const { components } = json as {
    components?: { schemas: Record<string, { description: string }> }
  }
  const { description } = components?.schemas['io.k8s.api.apps.v1.Deployment'] ?? {}
  assert.equal(description, 'text of the type')
})

test('what the API claims answers a Status where it has nothing, all else a plain page', async () => {
  const { server } = await testServer()
  const statuses = ['/api/v2', '/api/v1/nothing', '/apis/apps/v9', '/apis/apps/v1/nothing']
  for (const path of [...statuses, '/apis/apps/v9/namespaces/a/nothing', '/version/more']) {
    const answer = await send(server, `GET ${path}`)
    assert.equal(answer.status, 404, path)
    assert.equal(answer.json['message'], 'the server could not find the requested resource', path)
  }
  const pages = ['/nothing', '/apis/nothing', '/apis/nothing.example/v1', '/healthz/nothing']
  for (const path of [...pages, '/apis/nothing.example/v1/things', '/metrics/more']) {
    const answer = await send(server, `GET ${path}`)
    assert.equal(answer.status, 404, path)
    assert.equal(answer.text, '404 page not found\n', path)
    assert.equal(answer.headers['content-type'], 'text/plain; charset=utf-8')
    assert.equal(answer.headers['x-content-type-options'], 'nosniff')
  }
})

test('pages beside the API answer any method, and those of the API only GET', async () => {
  const { server } = await testServer()
  for (const line of ['POST /healthz', 'PUT /livez/ping', 'HEAD /readyz', 'POST /openapi/v2'])
    assert.equal((await send(server, line)).status, 200, line)
  for (const line of ['HEAD /version', 'POST /api', 'DELETE /apis/apps/v1'])
    assert.equal((await send(server, line)).status, 405, line)
})
