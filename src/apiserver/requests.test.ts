import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRequest } from './requests.ts'

const parse = (line: string) => {
  const [method = '', url = ''] = line.split(' ')
  const [path = '', query = ''] = url.split('?')
  return parseRequest(method, path, new URLSearchParams(query))
}
const brief = (line: string): string => {
  const info = parse(line)
  if (!info.isResource) return `nonresource ${info.verb}`
  const { verb, group, version, namespace, resource, name, subresource, rest } = info
  return [verb, `${group}/${version}`, namespace, resource, name, subresource, rest].join('|')
}

const cases: readonly (readonly [string, string])[] = [
  ['GET /api/v1/namespaces', 'list|/v1||namespaces|||'],
  ['GET /api/v1/namespaces/shop', 'get|/v1|shop|namespaces|shop||'],
  ['PUT /api/v1/namespaces/shop/finalize', 'update|/v1|shop|namespaces|shop|finalize|'],
  ['PUT /api/v1/namespaces/shop/status', 'update|/v1|shop|namespaces|shop|status|'],
  ['GET /api/v1/namespaces/shop/pods', 'list|/v1|shop|pods|||'],
  ['GET /api/v1/namespaces/shop/pods/', 'list|/v1|shop|pods|||'],
  ['GET /api/v1/pods?watch=true', 'watch|/v1||pods|||'],
  ['GET /api/v1/pods?watch=0', 'list|/v1||pods|||'],
  ['GET /api/v1/watch/pods', 'watch|/v1||pods|||'],
  ['GET /api/v1/watch/namespaces/shop/pods/web', 'watch|/v1|shop|pods|web||'],
  ['HEAD /api/v1/namespaces/shop/pods/web', 'get|/v1|shop|pods|web||'],
  ['DELETE /api/v1/namespaces/shop/pods', 'deletecollection|/v1|shop|pods|||'],
  ['DELETE /api/v1/namespaces/shop/pods/web', 'delete|/v1|shop|pods|web||'],
  ['POST /apis/apps/v1/namespaces/shop/deployments', 'create|apps/v1|shop|deployments|||'],
  ['PATCH /apis/apps/v1/namespaces/s/deployments/d/scale', 'patch|apps/v1|s|deployments|d|scale|'],
  [
    'GET /api/v1/namespaces/s/pods/http:web:80/proxy/a/b/',
    'get|/v1|s|pods|http:web:80|proxy|/a/b/',
  ],
  ['GET /api/v1/nodes/n1/proxy', 'get|/v1||nodes|n1|proxy|'],
  ['GET /api/v1/nodes/n1/proxy/', 'get|/v1||nodes|n1|proxy|/'],
  ['GET /api/v1/pods?fieldSelector=metadata.name%3Dweb', 'list|/v1||pods|web||'],
  ['GET /api', 'nonresource get'],
  ['GET /apis/apps/v1', 'nonresource get'],
  ['GET /api/v1', 'nonresource get'],
  ['POST /healthz/a/b/c', 'nonresource post'],
]
for (const [line, expected] of cases)
  test(`${line} is read as ${expected}`, () => assert.equal(brief(line), expected))

test('selectors are kept for the verbs that select, so that authorizers see them', () => {
  const info = parse('GET /api/v1/pods?fieldSelector=spec.nodeName%3Dn1&labelSelector=a%3Db')
  assert.equal(info.fieldSelector, 'spec.nodeName=n1')
  assert.equal(info.labelSelector, 'a=b')
  assert.equal(parse('GET /api/v1/nodes/n1?labelSelector=a').labelSelector, undefined)
})

test('what is created in one place is asked for by one object, whatever else is asked in between', () => {
  const ask = (method: string, path: string) => parseRequest(method, path, new URLSearchParams())
  const PODS = '/api/v1/namespaces/shop/pods'
  const first = ask('POST', PODS)
  assert.equal(first.isShared, true)
  for (let i = 0; i < 20; i++) ask('POST', `${PODS}/web-${i}/binding`)
  for (let i = 0; i < 5; i++) ask('POST', `/api/v1/namespaces/n-${i}/pods`)
  assert.equal(ask('POST', PODS), first)
  const { isShared: _, ...same } = first
  assert.deepEqual(same, { ...ask('GET', PODS), verb: 'create' })
  assert.equal(ask('POST', `${PODS}/web/binding`).isShared, undefined)
  assert.equal(ask('GET', PODS).isShared, undefined)
})
