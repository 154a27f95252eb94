import assert from 'node:assert/strict'
import { test } from 'node:test'
import { revisionData, templateOf } from './history.ts'
import type { ControllerRevision, PodTemplateSpec } from '#api'

test('a revision has the bytes that a client in Go makes of the template', () => {
  const template = {
    metadata: { labels: { b: '1', a: '2' } },
    spec: {
      restartPolicy: 'Always',
      containers: [{ name: 'c', image: 'web:1', args: ['z', 'a'], resources: {} }],
    },
  } as unknown as PodTemplateSpec
  const data = revisionData(template)
  assert.equal(
    JSON.stringify(data),
    '{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"a":"2","b":"1"}},"spec":{"containers":[{"args":["z","a"],"image":"web:1","name":"c","resources":{}}],"restartPolicy":"Always"}}}}',
  )
  assert.deepEqual(templateOf({ data } as unknown as ControllerRevision), template)
})
