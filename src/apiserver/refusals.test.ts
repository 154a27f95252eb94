/** What is wrong with an object of each kind, in the words that Kubernetes has for it. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { findDefinition } from '#api'
import { apiVersionOf } from '#machinery'
import { send, testServer } from './server.testing.ts'

type Path = readonly (string | number)[]
interface Refusals {
  readonly base: object
  /** A field of the base that has another value, or none, and what is said of it. */
  readonly refusals: readonly {
    readonly change: readonly [Path, unknown?][]
    readonly says: string
  }[]
}

const kinds = JSON.parse(
  readFileSync(new URL('testdata/refusals.json', import.meta.url), 'utf8'),
) as Readonly<Record<string, Refusals>>

function changed(base: object, changes: readonly [Path, unknown?][]): object {
  const object = structuredClone(base) as Record<string | number, unknown>
  for (const [path, ...value] of changes) {
    let at = object
    for (const step of path.slice(0, -1)) at = at[step] as typeof at
    const last = path.at(-1) ?? ''
    if (value.length === 0) delete at[last]
    else at[last] = value[0]
  }
  return object
}

const { server } = await testServer()

for (const [name, { base, refusals }] of Object.entries(kinds)) {
  const [resource = '', ...group] = name.split('.')
  test(`what is wrong with ${name} is told in Kubernetes' words`, async () => {
    const version = resource === 'horizontalpodautoscalers' ? 'v2' : 'v1'
    const definition = findDefinition(group.join('.'), version, resource)
    assert.ok(definition, name)
    const { facts } = definition
    const apiVersion = apiVersionOf(facts)
    const path = `${facts.group === '' ? '/api' : '/apis'}/${apiVersion}${facts.namespaced ? '/namespaces/default' : ''}/${resource}`
    const answerTo = async (object: object) =>
      send(server, `POST ${path}?dryRun=All`, { ...object, apiVersion, kind: facts.kind })
    assert.equal((await answerTo(base)).status, 201)
    for (const { change, says } of refusals) {
      const { status, json } = await answerTo(changed(base, change))
      const message = String(json['message']).replace(/^.*? is invalid: /s, '')
      assert.deepEqual([status, message], [422, says], JSON.stringify(change))
    }
  })
}
