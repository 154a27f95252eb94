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
  /** The same of an object that is there, and is to be another. */
  readonly updates?: Refusals['refusals']
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

for (const [name, { base, refusals, updates = [] }] of Object.entries(kinds)) {
  const [resource = '', ...group] = name.split('.')
  test(`what is wrong with ${name} is told in Kubernetes' words`, async () => {
    const version = resource === 'horizontalpodautoscalers' ? 'v2' : 'v1'
    const definition = findDefinition(group.join('.'), version, resource)
    assert.ok(definition, name)
    const { facts } = definition
    const apiVersion = apiVersionOf(facts)
    const path = `${facts.group === '' ? '/api' : '/apis'}/${apiVersion}${facts.namespaced ? '/namespaces/default' : ''}/${resource}`
    const answers = async (line: string, object: object, says: string): Promise<void> => {
      const { status, json } = await send(server, `${line}?dryRun=All`, object)
      const message = String(json['message']).replace(/^.*? is invalid: /s, '')
      assert.deepEqual([status, message], [422, says], JSON.stringify(object))
    }
    const created = await send(server, `POST ${path}`, { ...base, apiVersion, kind: facts.kind })
    assert.equal(created.status, 201, created.text)
    for (const { change, says } of refusals)
      await answers(
        `POST ${path}`,
        { ...changed(base, change), apiVersion, kind: facts.kind },
        says,
      )
    const { name: own } = created.json['metadata'] as { name: string }
    for (const { change, says } of updates)
      await answers(`PUT ${path}/${own}`, changed(created.json, change), says)
  })
}
