import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { resourceFacts, typeTable } from '#api'
import { createDescriptions, installedPackages, parseDescriptions } from './descriptions.ts'

// In the form of the package, with words of our own.
const DECLARATION = `import { IThing } from "./Thing.js";
/**
 * A boat carries things.
 *
 *  - over water
 */
export interface IBoat extends TypeMeta {
    "apiVersion": "sea/v1";
    "kind": "Boat";
    /**
     * How many may be on board, in the group *\\/*.
     *
     * Never more.
     */
    "crew"?: number;
    "plain"?: string;
    /**
     * What is on board.
     */
    "cargo"?: {
        [key: string]: IThing;
    };
}
/**
 * A class is no news.
 */
export declare class Boat extends Model<IBoat> implements IBoat {
    /**
     * Not this.
     */
    "plain"?: string;
}
`

test('a declaration has the text of its type and those of its fields', () => {
  const { text, fields } = parseDescriptions(DECLARATION)
  assert.equal(text, 'A boat carries things.\n\n - over water')
  assert.deepEqual(
    [...fields],
    [
      ['crew', 'How many may be on board, in the group */*.\n\nNever more.'],
      ['cargo', 'What is on board.'],
    ],
  )
})

test('a type of one value has a text too', () => {
  const { text, fields } = parseDescriptions(
    '/**\n * When it was.\n */\nexport type ITime = string;\nexport type Time = ITime;\n',
  )
  assert.equal(text, 'When it was.')
  assert.equal(fields.size, 0)
  assert.deepEqual(parseDescriptions('export type IQuantity = number | string;\n').text, undefined)
})

test('a file is read once, from the folder of its group', async () => {
  const read: string[] = []
  const descriptions = createDescriptions({
    types: typeTable,
    folders: { models: '/models/', machinery: '/machinery/' },
    readText: async (path) => {
      read.push(path)
      return DECLARATION
    },
  })
  const names = [
    'io.k8s.api.core.v1.Pod',
    'io.k8s.api.rbac.v1.Role',
    'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition',
    'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta',
    'com.example.v1.Foo',
  ]
  await descriptions.load(names)
  const describe = await descriptions.load(names)
  assert.deepEqual(read.toSorted(), [
    '/machinery/apis/meta/v1/ObjectMeta.d.ts',
    '/models/apiextensions.k8s.io/v1/CustomResourceDefinition.d.ts',
    '/models/rbac.authorization.k8s.io/v1/Role.d.ts',
    '/models/v1/Pod.d.ts',
  ])
  assert.equal(describe('io.k8s.api.core.v1.Pod', 'crew')?.split('\n').length, 3)
  assert.equal(describe('com.example.v1.Foo'), undefined)
})

test('without the packages there are no texts, but for those of ours', async () => {
  const absent = { models: undefined, machinery: undefined }
  const readText = async (): Promise<string> => {
    throw new Error('nothing is there')
  }
  for (const folders of [absent, { models: '/m/', machinery: '/n/' }]) {
    const describe = await createDescriptions({ types: typeTable, readText, folders }).load([
      'io.k8s.api.core.v1.Pod',
    ])
    assert.equal(describe('io.k8s.api.core.v1.Pod'), undefined)
    assert.equal(describe('io.k8s.api.core.v1.Pod', 'spec'), undefined)
    assert.ok(describe('io.k8s.api.core.v1.Pod', 'kind'))
  }
})

test('the installed packages have a text for every kind that is served, and for nearly every field', async () => {
  const { models, machinery } = installedPackages()
  assert.ok(models !== undefined && machinery !== undefined)
  const kinds = resourceFacts.filter(({ stage }) => stage === 'ga').map(({ type }) => type)
  const descriptions = createDescriptions({
    types: typeTable,
    readText: (path) => readFile(path, 'utf8'),
  })
  const describe = await descriptions.load(kinds)
  // Metrics are no part of the packages, and neither is what is served by default only later.
  const silent = kinds.filter((name) => describe(name) === undefined)
  assert.deepEqual(
    silent.filter((name) => !/\.(metrics|storagemigration)\./.test(name)),
    [],
  )
  const specs = ['io.k8s.api.core.v1.PodSpec', 'io.k8s.api.core.v1.Container']
  const texts = await descriptions.load(specs)
  for (const name of specs)
    for (const field of typeTable[name]?.fields ?? [])
      assert.ok(texts(name, field.name), `${name}.${field.name}`)
})
