/**
 * Writes what is derived from the facts: TypeScript types of every kind, and a typed reference to
 * every resource. `npm run generate` writes the files; a test checks that they are up to date.
 */
import { readFileSync, writeFileSync, mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

interface Schema {
  type?: string
  ref?: string
  items?: Schema
  values?: Schema
}
interface Field extends Schema {
  name: string
  required?: boolean
  enum?: readonly string[]
}
interface TypeFact {
  gvk?: readonly (readonly [string, string, string])[]
  scalar?: { type?: string; format?: string }
  alias?: Schema
  fields?: readonly Field[]
}
interface ResourceFact {
  group: string
  version: string
  resource: string
  kind: string
  namespaced: boolean
  type: string
  stage: string
}

const root = fileURLToPath(new URL('..', import.meta.url))
const read = <T>(file: string): T => JSON.parse(readFileSync(`${root}facts/${file}`, 'utf8')) as T
const { types } = read<{ types: Record<string, TypeFact> }>('types.json')
const { resources } = read<{ resources: readonly ResourceFact[] }>('resources.json')

const META = 'io.k8s.apimachinery.'
const QUANTITY = `${META}pkg.api.resource.Quantity`
/** Always there once the server has answered, whatever the schema says. */
const ALWAYS_PRESENT: Readonly<Record<string, readonly string[]>> = {
  ObjectMeta: ['name', 'uid', 'resourceVersion', 'creationTimestamp'],
}

/** `io.k8s.api.core.v1.Pod` → module `core-v1`, name `Pod`. */
function locate(definition: string): { module: string; name: string } {
  const parts = definition.split('.')
  const name = parts.at(-1) ?? ''
  if (definition.startsWith(META)) return { module: 'meta', name }
  const version = parts.at(-2) ?? ''
  const group = parts.at(-3) ?? ''
  return { module: `${group}-${version}`, name }
}

const alias = (module: string): string =>
  module.replaceAll(/-(.)/g, (_, c: string) => c.toUpperCase())

function render(
  schema: Schema & { enum?: readonly string[] },
  module: string,
  used: Set<string>,
): string {
  if (schema.ref !== undefined) {
    // On the wire a quantity is text; what that text means is machinery's business.
    if (schema.ref === QUANTITY) return 'string'
    const target = locate(schema.ref)
    if (target.module === module) return target.name
    used.add(target.module)
    return `${alias(target.module)}.${target.name}`
  }
  if (schema.enum) return renderEnum(schema.type, schema.enum.map((v) => `'${v}'`).join(' | '))
  switch (schema.type) {
    case 'array':
      return `readonly ${wrap(render(schema.items ?? {}, module, used))}[]`
    case 'object':
      return `{ readonly [key: string]: ${schema.values ? render(schema.values, module, used) : 'unknown'} }`
    case 'integer':
    case 'number':
      return 'number'
    case 'string':
    case 'boolean':
      return schema.type
    default:
      return 'unknown'
  }
}
/** The closed set belongs to what a list or map holds. */
function renderEnum(type: string | undefined, values: string): string {
  if (type === 'array') return `readonly (${values})[]`
  return type === 'object' ? `{ readonly [key: string]: ${values} }` : values
}
const wrap = (text: string): string => (/[ |]/.test(text) ? `(${text})` : text)

function scalarType(name: string, scalar: { type?: string }): string {
  if (name === 'IntOrString') return 'number | string'
  if (name === 'JSONSchemaPropsOrBool') return 'JSONSchemaProps | boolean'
  if (name === 'JSONSchemaPropsOrArray') return 'JSONSchemaProps | readonly JSONSchemaProps[]'
  if (name === 'JSONSchemaPropsOrStringArray') return 'JSONSchemaProps | readonly string[]'
  if (scalar.type === 'string') return 'string'
  return 'unknown'
}

const modules = new Map<string, { body: string[]; used: Set<string>; names: string[] }>()
for (const [definition, fact] of Object.entries(types)) {
  const { module, name } = locate(definition)
  const file = modules.get(module) ?? { body: [], used: new Set<string>(), names: [] }
  modules.set(module, file)
  if (file.names.includes(name)) continue
  file.names.push(name)
  if (fact.scalar) {
    file.body.push(`export type ${name} = ${scalarType(name, fact.scalar)}`)
    continue
  }
  if (fact.alias) {
    file.body.push(`export type ${name} = ${render(fact.alias, module, file.used)}`)
    continue
  }
  const isKind =
    fact.gvk !== undefined && (fact.fields ?? []).some((field) => field.name === 'metadata')
  const fields = (fact.fields ?? []).map((field) => {
    const present =
      field.required === true ||
      (isKind && (field.name === 'metadata' || field.name === 'spec')) ||
      ALWAYS_PRESENT[name]?.includes(field.name) === true
    // What a template says of objects to come: nobody gave them a uid yet.
    const type = render(field, module, file.used)
    const value = !isKind && type.endsWith('ObjectMeta') ? `Partial<${type}>` : type
    const key =
      /^[\w]+$/.test(field.name) && !/^\d/.test(field.name) ? field.name : `'${field.name}'`
    return `  readonly ${key}${present ? '' : '?'}: ${value}`
  })
  file.body.push(`export interface ${name} {\n${fields.join('\n')}\n}`)
}

const header = '// Made from facts/ by `npm run generate`. Do not edit.\n'
const files = new Map<string, string>()
const order = [...modules.keys()].toSorted()
for (const [module, { body, used }] of modules) {
  const imports = [...used]
    .toSorted()
    .map((other) =>
      other === 'meta'
        ? `import type * as meta from '#machinery'`
        : `import type * as ${alias(other)} from './${other}.gen.ts'`,
    )
  const text = `${header}${imports.join('\n')}${imports.length > 0 ? '\n' : ''}\n${body.join('\n\n')}\n`
  files.set(
    module === 'meta' ? 'src/machinery/meta.gen.ts' : `src/api/types/${module}.gen.ts`,
    text,
  )
}

/** Plain names belong to the kinds that a cluster serves by default; a later group takes its name along. */
const served = new Set(resources.filter((r) => r.stage === 'ga').map((r) => locate(r.type).module))
const taken = new Set(modules.get('meta')?.names ?? [])
const doors: string[] = []
const first = ['core-v1', 'apps-v1', 'batch-v1', 'discovery-v1', 'autoscaling-v2']
const servedOrder = [...first, ...order.filter((m) => served.has(m) && !first.includes(m))]
const publicName = new Map<string, string>()
for (const module of servedOrder) {
  const names = modules.get(module)?.names ?? []
  const exported = names.map((name) => {
    const prefix = alias(module)
    const shown = taken.has(name) ? `${prefix[0]?.toUpperCase()}${prefix.slice(1)}${name}` : name
    taken.add(shown)
    publicName.set(`${module}.${name}`, shown)
    return shown === name ? name : `${name} as ${shown}`
  })
  doors.push(`export type {\n  ${exported.join(',\n  ')},\n} from './types/${module}.gen.ts'`)
}
files.set('src/api/types.gen.ts', `${header}\n${doors.join('\n\n')}\n`)

const ga = resources.filter(
  (r) => r.stage === 'ga' && publicName.has(`${locate(r.type).module}.${locate(r.type).name}`),
)
const constants: string[] = []
const usedTypes = new Set<string>()
const constantNames = new Set<string>()
/** The plural in the field's own spelling: kind ReplicaSet and resource replicasets give `replicaSets`. */
function plural({ kind, resource }: ResourceFact): string {
  let shared = 0
  while (shared < kind.length && kind[shared]?.toLowerCase() === resource[shared]) shared++
  const acronym = /^[A-Z]+(?=[A-Z][a-z]|$)/.exec(kind)?.[0].length ?? 1
  const name = kind.slice(0, shared) + resource.slice(shared)
  return name.slice(0, acronym).toLowerCase() + name.slice(acronym)
}
for (const r of ga) {
  const { module, name } = locate(r.type)
  const type = publicName.get(`${module}.${name}`) ?? name
  usedTypes.add(type)
  const own = plural(r)
  const constant = constantNames.has(own)
    ? `${r.group.split('.')[0]}${r.version[0]?.toUpperCase()}${r.version.slice(1)}${own[0]?.toUpperCase()}${own.slice(1)}`
    : own
  constantNames.add(constant)
  constants.push(
    `export const ${constant}: ResourceRef<${type}> = { group: '${r.group}', version: '${r.version}', resource: '${r.resource}', kind: '${r.kind}', namespaced: ${r.namespaced} }`,
  )
}
files.set(
  'src/api/resources.gen.ts',
  `${header}import type { ResourceRef } from '#machinery'\nimport type {\n  ${[...usedTypes].join(',\n  ')},\n} from './types.gen.ts'\n\n${constants.join('\n\n')}\n`,
)

const check = process.argv.includes('--check')
let stale = 0
for (const [file, text] of files) {
  if (check) {
    if (readFileSync(root + file, 'utf8') === text) continue
    console.error(`${file} is out of date: run npm run generate`)
    stale++
  } else {
    mkdirSync(root + file.slice(0, file.lastIndexOf('/')), { recursive: true })
    writeFileSync(root + file, text)
  }
}
process.exitCode = stale > 0 ? 1 : 0
