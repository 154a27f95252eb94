/** Definitions for tests, and a server that has them. */
import { isObject } from '../json.ts'
import { send, testServer, type Answer, type TestServer } from '../server.testing.ts'

export const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
export const WIDGETS = '/apis/example.com/v1/namespaces/shop/widgets'

interface VersionOptions {
  readonly schema?: object
  readonly [key: string]: unknown
}

/** One version as a definition has it. */
export const version = (name: string, { schema, ...more }: VersionOptions = {}): object => ({
  name,
  served: true,
  storage: true,
  schema: {
    openAPIV3Schema: schema ?? { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
  },
  ...more,
})

/** `widgets.example.com`, in namespaces, with the fields that differ. */
export const widgets = (
  versions: readonly object[] = [version('v1')],
  spec: object = {},
  metadata: object = {},
): object => ({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.example.com', ...metadata },
  spec: {
    group: 'example.com',
    scope: 'Namespaced',
    names: { plural: 'widgets', kind: 'Widget' },
    versions,
    ...spec,
  },
})

export const widget = (
  name: string,
  fields: object = {},
  apiVersion = 'example.com/v1',
): object => ({
  apiVersion,
  kind: 'Widget',
  metadata: { name },
  ...fields,
})

/** A schema of an object with these members of its spec. */
export const specSchema = (properties: object, more: object = {}): object => ({
  type: 'object',
  properties: { spec: { type: 'object', properties, ...more } },
})

export interface Served extends TestServer {
  request(line: string, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<Answer>
}

export async function server(options: Parameters<typeof testServer>[0] = {}): Promise<Served> {
  const made = await testServer(options)
  return { ...made, request: (line, body, headers) => send(made.server, line, body, headers) }
}

/** A server that serves the definition already. */
export async function serving(
  definition: object,
  options: Parameters<typeof testServer>[0] = {},
): Promise<Served> {
  const made = await server(options)
  const answer = await made.request(`POST ${CRDS}`, definition)
  if (answer.status !== 201) throw new Error(answer.text)
  await established(made, nameOf(definition))
  return made
}

const nameOf = (definition: object): string =>
  (definition as { metadata: { name: string } }).metadata.name

export async function established({ request }: Served, name: string): Promise<void> {
  await until(
    async () => conditionOf((await request(`GET ${CRDS}/${name}`)).json, 'Established') === 'True',
  )
}

/** `True`, `False`, or undefined when the condition is not there. */
export function conditionOf(object: Record<string, unknown>, type: string): string | undefined {
  const status = isObject(object['status']) ? object['status'] : {}
  const conditions = (status['conditions'] ?? []) as readonly { type: string; status: string }[]
  return conditions.find((each) => each.type === type)?.status
}

/** Lets what is under way go on until it holds. */
export async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (await holds()) return
    await new Promise<void>((resolve) => setImmediate(resolve))
  }
  throw new Error('it did not come about')
}
