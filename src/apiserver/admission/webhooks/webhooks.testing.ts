/** A server whose webhooks are functions of the test. */
import assert from 'node:assert/strict'
import { virtualEnv, type VirtualEnv } from '#base'
import type { Transport } from '#client'
import { StatusError, type JsonObject } from '#machinery'
import type { Authorizer } from '../../access.ts'
import { testServer, type TestServer } from '../../server.testing.ts'
import { WebhookCallError, type CallWebhook, type WebhookCall } from '../../webhook-client/index.ts'
import { mutatingWebhooks, validatingWebhooks } from './index.ts'

export interface Call {
  readonly url: string
  readonly request: JsonObject
  readonly options: WebhookCall
}

export type Answer = (call: Call) => JsonObject | Promise<JsonObject>

export interface Bench extends TestServer {
  /** Where the plugins count. */
  readonly counted: VirtualEnv['metrics']
  readonly calls: Call[]
  readonly api: Transport
}

/** A server whose webhooks are functions, by the path of their URL. */
export async function withWebhooks(answers: Readonly<Record<string, Answer>>): Promise<Bench> {
  const calls: Call[] = []
  const call: CallWebhook = async ({ url = '' }, body, options) => {
    const made = { url, request: structuredClone(body['request']) as JsonObject, options }
    calls.push(made)
    const answer = answers[new URL(url).pathname.slice(1)]
    if (answer === undefined) throw new WebhookCallError(`Post "${url}": EOF`)
    const response = await answer(made)
    if (response['kind'] !== undefined) return response
    return {
      kind: 'AdmissionReview',
      apiVersion: body['apiVersion'],
      response: { uid: made.request['uid'], ...response },
    }
  }
  const env = virtualEnv()
  const authorizer: Authorizer = {
    authorize: async ({ verb }) => ({
      verdict: verb === 'bypass' ? 'noOpinion' : 'allow',
      reason: '',
    }),
  }
  const bench = await testServer({
    extensions: (inside) => ({
      admission: [
        mutatingWebhooks({ inside, env, call, authorizer }),
        validatingWebhooks({ inside, env, call, authorizer }),
      ],
      connect: { 'pods/attach': async () => ({ status: 200, headers: {}, value: {} }) },
    }),
  })
  for (const name of ['default', 'other'])
    await bench.api.request({
      method: 'POST',
      path: '/api/v1/namespaces',
      body: { metadata: { name, labels: { team: name } } },
    })
  return Object.assign(bench, { calls, counted: env.metrics })
}

export interface Asked extends JsonObject {
  readonly kind: JsonObject
  readonly requestKind: JsonObject
  readonly object: JsonObject | null
  readonly oldObject: JsonObject | null
}
/** What a hook was asked, by its place. */
export function asked({ calls }: Bench, place: number): Asked {
  const call = calls.at(place)
  assert.ok(call !== undefined)
  return call.request as Asked
}

const CONFIGMAPS = [
  { operations: ['*'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] },
]

export async function configure(
  { api }: Bench,
  kind: 'Mutating' | 'Validating',
  name: string,
  ...webhooks: readonly JsonObject[]
): Promise<void> {
  await api.request({
    method: 'POST',
    path: `/apis/admissionregistration.k8s.io/v1/${kind.toLowerCase()}webhookconfigurations`,
    body: {
      metadata: { name },
      webhooks: webhooks.map(({ hook, ...webhook }) => ({
        name: `${String(hook)}.example.com`,
        clientConfig: { url: `https://hook.test/${String(hook)}` },
        rules: CONFIGMAPS,
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
        ...webhook,
      })),
    },
  })
}

export const create = async (
  { api }: Bench,
  name: string,
  more: JsonObject = {},
): Promise<JsonObject> => {
  const { namespace = 'default', ...body } = more
  const answer = await api.request({
    method: 'POST',
    path: `/api/v1/namespaces/${String(namespace)}/configmaps`,
    body: { metadata: { name }, ...body },
  })
  return structuredClone(answer) as JsonObject
}

export const refusal = (message: string, code: number) => (error: unknown) => {
  assert.ok(error instanceof StatusError, String(error))
  assert.equal(error.message, message)
  assert.equal(error.code, code)
  return true
}

export const allow: Answer = () => ({ allowed: true })
export const patch = (...operations: readonly JsonObject[]): JsonObject => ({
  allowed: true,
  patchType: 'JSONPatch',
  patch: Buffer.from(JSON.stringify(operations)).toString('base64'),
})
export const put = (key: string): JsonObject =>
  patch({ op: 'add', path: `/data/${key}`, value: 'yes' })
