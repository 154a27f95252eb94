import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tests as checking } from '@bufbuild/cel-spec/testdata/checking.js'
import { tests as parsing } from '@bufbuild/cel-spec/testdata/parsing.js'
import { conformanceTests, isSame, type ConformanceTest } from './conformance.testing.ts'
import { CelError, compileCel } from './index.ts'
import { typeName } from './types.ts'

/** Undefined when it is as cel-spec says. */
function problem({
  path,
  source,
  variables,
  values,
  expected,
  type,
}: ConformanceTest): string | undefined {
  const wrong = (what: unknown): string => `${path}: ${source}: ${String(what)}`
  const program = compileCel(source, { variables, plain: true, bindings: true })
  if ('failure' in program) return expected === undefined ? undefined : wrong(program.failure)
  if (type !== undefined && typeName(program.type) !== type && !type.startsWith('type('))
    return wrong(`is ${typeName(program.type)} and not ${type}`)
  try {
    const { raw } = program.evaluate(values, { perCall: 1e7, remaining: 1e7 })
    return expected !== undefined && isSame(raw, expected.value) ? undefined : wrong(raw)
  } catch (error) {
    return expected === undefined && error instanceof CelError ? undefined : wrong(error)
  }
}

test('the conformance tests of cel-spec that are not about protobuf pass, all of them', () => {
  const { applicable } = conformanceTests()
  assert.ok(applicable.length >= 1270, `${applicable.length} apply`)
  assert.deepEqual(
    applicable.flatMap((each) => problem(each) ?? []),
    [],
  )
})

test('whatever is written, a reader of it ends with a tree or with an issue', () => {
  const sources: string[] = []
  interface Suite {
    readonly suites?: readonly Suite[]
    readonly tests?: readonly { readonly original: { readonly expr: string } }[]
  }
  const visit = (suite: Suite): void => {
    for (const { original } of suite.tests ?? []) sources.push(original.expr)
    for (const inner of suite.suites ?? []) visit(inner)
  }
  visit(parsing)
  visit(checking)
  assert.ok(sources.length > 300)
  for (const source of sources) {
    const program = compileCel(source, { variables: {} })
    if ('failure' in program) assert.match(program.failure, /^compilation failed: ERROR: <input>:/)
    else assert.ok(program.estimate().min <= program.estimate().max)
  }
})
