/** The conformance tests of cel-spec, as far as they are about CEL without messages of protobuf. */
import { tests } from '@bufbuild/cel-spec/testdata/conformance.js'
import type { CelDeclaration } from './program.ts'
import { parseDuration, parseTimestamp } from './time.ts'
import {
  CelDouble,
  CelMap,
  CelOpaque,
  CelTypeValue,
  CelUint,
  equals,
  kindOf,
  normalInt,
} from './values.ts'

type Json = Readonly<Record<string, unknown>>

export interface ConformanceTest {
  readonly path: string
  readonly source: string
  readonly variables: Readonly<Record<string, CelDeclaration>>
  readonly values: Readonly<Record<string, unknown>>
  /** As cel-go names it. */
  readonly type: string | undefined
  /** A value, or undefined when it must fail. */
  readonly expected: { readonly value: unknown } | undefined
}

/** Of libraries that Kubernetes does not have, and of messages. */
const FOREIGN_SUITES = new Set([
  'block_ext',
  'encoders_ext',
  'enums',
  'math_ext',
  'proto2',
  'proto2_ext',
  'proto3',
  'wrappers',
])
const FOREIGN =
  /TestAllTypes|google\.protobuf\.(?!Timestamp|Duration)|cel\.expr|proto\d|objectValue|enumValue|typeName|messageType|wellKnown":"ANY|"wrapper"|x\.y\b/

/** Of later versions of the strings' functions than Kubernetes has: how numbers, lists and maps are written. */
const LATER =
  /string_ext\/format\/(?:.*(?:scientific notation|support for decimal|infinity support|support for (?:lists|maps))|(?:list|map) support)|value_errors\/(?:last)?indexof_out_of_range/

interface Suite {
  readonly name: string
  readonly suites?: readonly Suite[]
  readonly tests?: readonly { readonly original: Json; readonly type?: string }[]
}

export function conformanceTests(): {
  readonly applicable: readonly ConformanceTest[]
  readonly foreign: number
} {
  const applicable: ConformanceTest[] = []
  let foreign = 0
  const visit = (suite: Suite, path: string, isForeign: boolean): void => {
    const at = path === '' ? suite.name : `${path}/${suite.name}`
    for (const { original, type } of suite.tests ?? [])
      if (isForeign || !applies(original) || LATER.test(`${at}/${String(original['name'])}`))
        foreign++
      else applicable.push(testOf(original, at, type))
    for (const inner of suite.suites ?? [])
      visit(inner, at, isForeign || FOREIGN_SUITES.has(inner.name))
  }
  visit(tests, '', false)
  return { applicable, foreign }
}

function applies(test: Json): boolean {
  if (test['disableCheck'] === true || test['container'] !== undefined) return false
  if (test['disableMacros'] === true || test['checkOnly'] === true) return false
  const env = JSON.stringify(test['typeEnv'] ?? '')
  if (env.includes('"function"')) return false
  return !FOREIGN.test(
    JSON.stringify(test).replaceAll(/google\.protobuf\.(Timestamp|Duration)/g, ''),
  )
}

function testOf(test: Json, path: string, type: string | undefined): ConformanceTest {
  const env = listOf(test['typeEnv'])
  const variables = env.map((each) => [
    String(each['name']),
    typeText(objectOf(objectOf(each['ident'])['type'])),
  ])
  const values = Object.entries(objectOf(test['bindings'])).map(([name, binding]) => [
    name,
    valueOf(objectOf(objectOf(binding)['value'])),
  ])
  const names: Record<string, string> = Object.fromEntries(variables)
  for (const [name] of values) names[String(name)] ??= 'dyn'
  const result = test['value'] ?? objectOf(test['typedResult'])['result']
  const expected =
    test['evalError'] !== undefined
      ? undefined
      : { value: result === undefined ? true : valueOf(objectOf(result)) }
  return {
    path: `${path}/${String(test['name'])}`,
    source: String(test['expr']),
    type,
    variables: names,
    values: Object.fromEntries(values),
    expected,
  }
}

const objectOf = (value: unknown): Json =>
  typeof value === 'object' && value !== null ? { ...value } : {}
const listOf = (value: unknown): readonly Json[] =>
  Array.isArray(value) ? value.map(objectOf) : []

/** The type as expressions declare it. */
function typeText(type: Json): string {
  const primitive = type['primitive']
  if (typeof primitive === 'string')
    return primitive === 'INT64' ? 'int' : primitive === 'UINT64' ? 'uint' : primitive.toLowerCase()
  if (type['null'] !== undefined) return 'null_type'
  if (typeof type['wellKnown'] === 'string') return type['wellKnown'].toLowerCase()
  if (type['listType'] !== undefined)
    return `list<${typeText(objectOf(objectOf(type['listType'])['elemType']))}>`
  if (type['mapType'] !== undefined) {
    const map = objectOf(type['mapType'])
    return `map<${typeText(objectOf(map['keyType']))}, ${typeText(objectOf(map['valueType']))}>`
  }
  const abstract = objectOf(type['abstractType'])
  if (type['abstractType'] !== undefined)
    return `${String(abstract['name'])}<${listOf(abstract['parameterTypes']).map(typeText).join(', ')}>`
  return 'dyn'
}

function valueOf(value: Json): unknown {
  const [[kind, content] = []] = Object.entries(value)
  switch (kind) {
    case 'int64Value':
      return normalInt(BigInt(String(content)))
    case 'uint64Value':
      return new CelUint(BigInt(String(content)))
    case 'doubleValue':
      return new CelDouble(
        content === '-Infinity' ? -Infinity : content === 'Infinity' ? Infinity : Number(content),
      )
    case 'bytesValue':
      return Uint8Array.from(Buffer.from(String(content), 'base64'))
    case 'nullValue':
      return null
    case 'typeValue':
      return new CelTypeValue(String(content))
    case 'listValue':
      return listOf(objectOf(content)['values']).map(valueOf)
    case 'mapValue': {
      const map = new CelMap()
      for (const { key, value: inner } of listOf(objectOf(content)['entries']))
        map.insert(valueOf(objectOf(key)), valueOf(objectOf(inner)))
      return map
    }
    case 'stringValue':
    case 'boolValue':
      return content
    default:
      return wellKnown(value, content)
  }
}
function wellKnown(value: Json, content: unknown): unknown {
  const inner = objectOf(content ?? value)
  const text = String(inner['value'])
  return String(inner['@type']).endsWith('Timestamp') ? parseTimestamp(text) : parseDuration(text)
}

/** Of one kind, all the way down: 1 is not 1.0, and NaN is itself. */
export function isSame(a: unknown, b: unknown): boolean {
  if (kindOf(a) !== kindOf(b) && !(a instanceof CelOpaque)) return false
  if (a instanceof CelDouble && b instanceof CelDouble) return Object.is(a.value, b.value)
  return equals(a, b)
}
