/** What an expression costs: compiled once, then evaluated for each object. */
import { compileCel } from '#cel'
import { realEnv } from '#base'
import type { Figure } from './run.ts'

const { clock } = realEnv()
const ROUNDS = 200_000
const string = { type: 'string' }
const schema = {
  type: 'object',
  properties: {
    minReplicas: { type: 'integer' },
    maxReplicas: { type: 'integer' },
    replicas: { type: 'integer' },
    name: string,
    labels: { type: 'object', additionalProperties: string },
    ports: {
      type: 'array',
      items: { type: 'object', properties: { name: string, port: { type: 'integer' } } },
    },
  },
}
const self = {
  minReplicas: 1,
  maxReplicas: 5,
  replicas: 3,
  name: 'web',
  labels: { app: 'web', tier: 'front' },
  ports: Array.from({ length: 5 }, (_, at) => ({ name: `p${at}`, port: 8000 + at })),
}

/** Rules as definitions of custom resources have them. */
const RULES: Readonly<Record<string, string>> = {
  'bounds of replicas': 'self.minReplicas <= self.replicas && self.replicas <= self.maxReplicas',
  'immutable field': 'self.name == oldSelf.name',
  'a field or another': 'has(self.labels) || has(self.missing)',
  'a label': "has(self.labels) && 'app' in self.labels && self.labels['app'].startsWith('w')",
  'all of five ports': 'self.ports.all(p, p.port > 0 && p.port < 65536)',
  'one pattern': "self.name.matches('^[a-z]+$')",
}
const SCHEMA = { ...schema, properties: { ...schema.properties, missing: string } }

for (const [name, rule] of Object.entries(RULES)) {
  const variables = { self: { schema: SCHEMA }, oldSelf: { schema: SCHEMA } }
  const program = compileCel(rule, { variables, returns: 'bool' })
  if ('failure' in program) throw new Error(program.failure)
  const budget = { perCall: 1_000_000, remaining: Number.MAX_SAFE_INTEGER }
  const values = { self, oldSelf: self }
  for (let i = 0; i < ROUNDS / 10; i++) program.evaluate(values, budget)
  const start = clock.monotonic()
  for (let i = 0; i < ROUNDS; i++) program.evaluate(values, budget)
  const value = ((clock.monotonic() - start) / ROUNDS) * 1_000_000
  const figure: Figure = { name: `evaluate: ${name}`, value, unit: 'ns', budget: { atMost: 5000 } }
  console.log(JSON.stringify(figure))
}

const start = clock.monotonic()
const COMPILED = 2000
for (let i = 0; i < COMPILED; i++)
  for (const rule of Object.values(RULES))
    compileCel(rule, { variables: { self: { schema: SCHEMA }, oldSelf: { schema: SCHEMA } } })
const each = ((clock.monotonic() - start) / COMPILED / Object.keys(RULES).length) * 1000
const compiled: Figure = {
  name: 'compile a rule',
  value: each,
  unit: 'µs',
  budget: { atMost: 500 },
}
console.log(JSON.stringify(compiled))
