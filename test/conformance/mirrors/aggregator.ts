import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import type { Json } from '../api.ts'
import { localService } from '../local-service.ts'
import { mirror } from '../mirror.ts'

const SERVICES = '/apis/apiregistration.k8s.io/v1/apiservices'

/** As much of an extension API server as a client of flunders meets. */
function sampleServer(group: string) {
  const flunders = new Map<string, Json>()
  const users: string[] = []
  const base = `/apis/${group}/v1alpha1`
  const list = {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: `${group}/v1alpha1`,
    resources: [
      {
        name: 'flunders',
        singularName: 'flunder',
        namespaced: true,
        kind: 'Flunder',
        verbs: ['create', 'delete', 'get', 'list'],
      },
    ],
  }
  const answer = (
    { method = '', url = '', headers }: IncomingMessage,
    body: string,
  ): { readonly status: number; readonly value: Json } => {
    const user = headers['x-remote-user']
    if (typeof user !== 'string') return { status: 401, value: { kind: 'Status' } }
    users.push(user)
    const { pathname } = new URL(url, 'https://sample')
    if (pathname === base) return { status: 200, value: list }
    const found = /^\/namespaces\/([^/]+)\/flunders(?:\/([^/]+))?$/.exec(
      pathname.slice(base.length),
    )
    if (!pathname.startsWith(base) || found === null) return { status: 404, value: {} }
    const [, namespace = '', name] = found
    if (method === 'POST') {
      const made = JSON.parse(body) as Json
      flunders.set(`${namespace}/${made['metadata'].name}`, made)
      return { status: 201, value: made }
    }
    if (name === undefined)
      return {
        status: 200,
        value: {
          kind: 'FlunderList',
          apiVersion: `${group}/v1alpha1`,
          metadata: { resourceVersion: '1' },
          items: [...flunders.values()],
        },
      }
    const flunder = flunders.get(`${namespace}/${name}`)
    if (method === 'DELETE') flunders.delete(`${namespace}/${name}`)
    return flunder === undefined
      ? { status: 404, value: { kind: 'Status', status: 'Failure', reason: 'NotFound', code: 404 } }
      : { status: 200, value: flunder }
  }
  return { answer, users }
}

mirror(
  '[sig-api-machinery] Aggregator Should be able to support the 1.17 Sample API Server using the current Aggregator [LinuxOnly] [Conformance]',
  async (fixture) => {
    const { api, namespace, unique, until, cleanUp, skip } = fixture
    const group = `${unique('wardle')}.example.com`
    const name = `v1alpha1.${group}`
    const config = await api.get(
      '/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication',
    )
    const sample = sampleServer(group)
    const { address, caBundle } = await localService(fixture, {
      name: 'sample-api',
      port: 7443,
      clientAuthority: String(config['data']['requestheader-client-ca-file']),
      answer(request, response, body) {
        const { status, value } = sample.answer(request, body)
        response.writeHead(status, { 'content-type': 'application/json' })
        response.end(JSON.stringify(value))
      },
    })
    if (address === undefined) skip('this machine has no address but its own')
    const service = {
      apiVersion: 'apiregistration.k8s.io/v1',
      kind: 'APIService',
      metadata: { name, labels: { 'e2e-sample': group } },
      spec: {
        service: { namespace, name: 'sample-api', port: 7443 },
        group,
        version: 'v1alpha1',
        caBundle,
        groupPriorityMinimum: 2000,
        versionPriority: 200,
      },
    }
    cleanUp(() => api.delete(`${SERVICES}/${name}`))
    await api.post(SERVICES, service)
    const available = await until('the APIService is available', async () => {
      const now = await api.get(`${SERVICES}/${name}`)
      return (now['status']?.conditions as Json[] | undefined)?.find(
        ({ type, status }) => type === 'Available' && status === 'True',
      )
    })
    assert.equal(available['reason'], 'Passed')
    assert.equal(available['message'], 'all checks passed')

    const path = `/apis/${group}/v1alpha1/namespaces/${namespace}/flunders`
    const flunder = {
      apiVersion: `${group}/v1alpha1`,
      kind: 'Flunder',
      metadata: { name: 'rest-flunder', labels: { 'sample-label': 'true' } },
      spec: {},
    }
    await api.post(path, flunder)
    assert.equal((await api.get(`${path}/rest-flunder`))['metadata'].name, 'rest-flunder')
    assert.equal((await api.get(path))['items'].length, 1)
    // The other server is told who asks.
    assert.ok(sample.users.some((user) => user !== 'system:kube-aggregator'))
    await api.delete(`${path}/rest-flunder`)
    assert.equal((await api.call('GET', `${path}/rest-flunder`)).status, 404)

    const groups = await api.get('/apis')
    const discovered = groups['groups'].find((each: Json) => each['name'] === group)
    assert.equal(discovered?.preferredVersion.version, 'v1alpha1')
    const resources = await api.get(`/apis/${group}/v1alpha1`)
    assert.equal(resources['resources'][0].name, 'flunders')
    await until('aggregated discovery knows it', async () => {
      const { json } = await api.call('GET', '/apis', {
        headers: { accept: 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList' },
      })
      const item = json['items'].find((each: Json) => each['metadata'].name === group)
      const [version] = item?.versions ?? []
      return version?.freshness === 'Current' && version.resources[0].resource === 'flunders'
    })

    // Its status belongs to others as well.
    const patched = await api.patch(
      `${SERVICES}/${name}`,
      { metadata: { labels: { [group]: 'patched' } } },
      'merge',
    )
    assert.equal(patched['metadata'].labels[group], 'patched')
    await until('its status is updated', async () => {
      const now = await api.get(`${SERVICES}/${name}/status`)
      now['status'].conditions.push({
        type: 'StatusUpdated',
        status: 'True',
        reason: 'E2E',
        message: 'Set from e2e test',
      })
      const answer = await api.call('PUT', `${SERVICES}/${name}/status`, { body: now })
      return (
        answer.status === 200 &&
        answer.json['status'].conditions.some(({ type }: Json) => type === 'StatusUpdated')
      )
    })
    const replaced = await until('it is replaced', async () => {
      const now = await api.get(`${SERVICES}/${name}`)
      now['metadata'].annotations = { updated: 'true' }
      const answer = await api.call('PUT', `${SERVICES}/${name}`, { body: now })
      return answer.status === 200 && answer.json
    })
    assert.equal(replaced['metadata'].annotations.updated, 'true')
    const listed = await api.get(SERVICES, { labelSelector: `${group}=patched` })
    assert.deepEqual(
      listed['items'].map((each: Json) => each['metadata'].name),
      [name],
    )
    await api.delete(SERVICES, undefined, { labelSelector: `${group}=patched` })
    await until(
      'it is gone',
      async () => (await api.call('GET', `${SERVICES}/${name}`)).status === 404,
    )
    await until(
      'its group is gone',
      async () => (await api.call('GET', `/apis/${group}/v1alpha1`)).status === 404,
    )
  },
)
