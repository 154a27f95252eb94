/** A world in which admission is asked. */
import assert from 'node:assert/strict'
import { namespaces, resourceQuotas, serviceAccounts } from '#api'
import { virtualEnv, type VirtualEnv } from '#base'
import type { Transport } from '#client'
import { conflict, type JsonObject, type RequestUser, type StatusError } from '#machinery'
import type { Authorizer } from '../access.ts'
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts'
import { testReader, type TestReader } from '../auth/reader.testing.ts'
import type { ServerInside } from '../inside.ts'
import { builtInAdmission } from './index.ts'

const allowAll: Authorizer = { authorize: async () => ({ verdict: 'allow', reason: '' }) }

export const allowNone: Authorizer = {
  authorize: async () => ({ verdict: 'noOpinion', reason: '' }),
}

interface World {
  readonly read: TestReader
  readonly plugins: readonly AdmissionPlugin[]
  readonly writes: JsonObject[]
  readonly env: VirtualEnv
}

export function world({
  authorizer = allowAll,
  fail = () => false,
}: { authorizer?: Authorizer; fail?: () => boolean } = {}): World {
  const read = testReader()
  read.put(namespaces, { metadata: { name: 'shop' }, status: { phase: 'Active' } })
  read.put(serviceAccounts, { metadata: { name: 'default', namespace: 'shop' } })
  const writes: JsonObject[] = []
  const transport: Transport = {
    async request({ method, body }) {
      await new Promise((resolve) => setImmediate(resolve))
      if (method === 'GET') return read.get(resourceQuotas, 'shop', 'q')
      const quota = body as { metadata: { name: string; resourceVersion: string } }
      const found = read.get(resourceQuotas, 'shop', quota.metadata.name)
      if (fail() || found?.metadata.resourceVersion !== quota.metadata.resourceVersion)
        throw conflict({ group: '', resource: 'resourcequotas' }, 'q', 'stale')
      writes.push(body as JsonObject)
      return read.put(resourceQuotas, body)
    },
    watch: () => Promise.reject(new Error('not asked for')),
  }
  const inside = {
    read,
    transport: () => transport,
    definitions: () => [],
    definitionOf: () => undefined,
  } as unknown as ServerInside
  const env = virtualEnv()
  const plugins = builtInAdmission(inside, { env, authorizer })
  return { read, plugins, writes, env }
}

interface Asked {
  readonly resource?: string
  readonly operation?: AdmissionRequest['operation']
  readonly subresource?: string
  readonly user?: RequestUser
  readonly old?: object
  readonly namespace?: string
  readonly warnings?: string[]
  readonly dryRun?: boolean
  readonly annotations?: Record<string, string>
}

export async function admit(
  { plugins }: World,
  object: object,
  { resource = 'pods', operation = 'CREATE', warnings = [], ...rest }: Asked = {},
): Promise<JsonObject> {
  const dot = resource.indexOf('.')
  const facts = {
    group: dot < 0 ? '' : resource.slice(dot + 1),
    version: 'v1',
    resource: dot < 0 ? resource : resource.slice(0, dot),
    namespaced: !['namespaces', 'nodes', 'priorityclasses', 'certificatesigningrequests'].includes(
      dot < 0 ? resource : resource.slice(0, dot),
    ),
  }
  const copy = structuredClone(object) as JsonObject
  const request: AdmissionRequest = {
    operation,
    definition: { facts } as AdmissionRequest['definition'],
    subresource: rest.subresource ?? '',
    namespace: facts.namespaced ? (rest.namespace ?? 'shop') : '',
    name: (copy['metadata'] as { name?: string } | undefined)?.name ?? '',
    user: rest.user ?? { name: 'jane', groups: [] },
    dryRun: rest.dryRun ?? false,
    ...(operation === 'DELETE' ? {} : { object: copy }),
    ...(rest.old === undefined ? {} : { old: rest.old as NonNullable<AdmissionRequest['old']> }),
    warn: (text) => warnings.push(text),
    signal: new AbortController().signal,
    annotate: (key, value) => void (rest.annotations && (rest.annotations[key] = value)),
    replace: () => undefined,
    rounds: { isSecond: false, again: false },
  }
  const handling = plugins.filter((plugin) => plugin.handles(request))
  for (const plugin of handling) await plugin.mutate?.(request)
  for (const plugin of handling) await plugin.validate?.(request)
  return copy
}

export const pod = (spec: object = {}, metadata: object = {}) => ({
  metadata: { name: 'web', ...metadata },
  spec: { containers: [{ name: 'c', image: 'i' }], ...spec },
})

export const message = (text: string | RegExp) => (error: StatusError) => {
  if (typeof text === 'string') assert.equal(error.message, text)
  else assert.match(error.message, text)
  return true
}

export const quota = (
  hard: Record<string, string>,
  used: Record<string, string>,
  spec: object = {},
) => ({
  metadata: { name: 'q', namespace: 'shop' },
  spec: { hard, ...spec },
  status: { hard, used },
})
