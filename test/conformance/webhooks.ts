/** Webhook servers for mirrors: HTTPS in this process, where the official tests deploy an image behind a Service. */
import type { Json } from './api.ts'
import { localService } from './local-service.ts'
import type { Fixture } from './mirror.ts'

export interface WebhookServer {
  /** For `clientConfig` of a webhook. */
  client(path: string): Json
  /** Namespaces with this label are the test's own. */
  readonly label: string
  readonly namespaceSelector: Json
  /** Namespaces where nothing but the marker webhook works. */
  readonly markers: string
}

/** Answers an AdmissionRequest with an AdmissionResponse without its uid. */
export type Answer = (request: Json) => Json | Promise<Json>

/** Reachable through the Service `e2e-test-webhook` when this machine has an address that is not its own alone. */
export async function startWebhooks(
  fixture: Fixture,
  answers: Readonly<Record<string, Answer>>,
): Promise<WebhookServer> {
  const { api, namespace, unique, cleanUp } = fixture
  const all: Readonly<Record<string, Answer>> = {
    '/always-deny': () => denied('this webhook denies all requests'),
    ...answers,
  }
  const { address, port, caBundle } = await localService(fixture, {
    name: 'e2e-test-webhook',
    port: 8443,
    answer(request, response, body) {
      const { pathname } = new URL(request.url ?? '/', 'https://webhook')
      const answer = all[pathname]
      if (answer === undefined) {
        response.writeHead(404).end()
        return
      }
      const review = JSON.parse(body) as Json
      void (async () => {
        const given = await answer(review['request'] as Json)
        response.setHeader('content-type', 'application/json')
        response.end(
          JSON.stringify({
            kind: 'AdmissionReview',
            apiVersion: review['apiVersion'],
            response: { uid: (review['request'] as Json)['uid'], ...given },
          }),
        )
      })()
    },
  })
  const label = unique('webhooks')
  await api.patch(
    `/api/v1/namespaces/${namespace}`,
    { metadata: { labels: { [label]: 'true' } } },
    'merge',
  )
  const markers = `${namespace}-markers`
  await api.post('/api/v1/namespaces', {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: markers, labels: { [`${label}-markers`]: 'true' } },
  })
  cleanUp(() => api.delete(`/api/v1/namespaces/${markers}`))
  return {
    label,
    markers,
    namespaceSelector: { matchLabels: { [label]: 'true' } },
    client: (path) =>
      address === undefined
        ? { url: `https://127.0.0.1:${port}${path}`, caBundle }
        : { service: { namespace, name: 'e2e-test-webhook', path, port: 8443 }, caBundle },
  }
}

export const denied = (message: string): Json => ({ allowed: false, status: { message } })
export const allowed: Json = { allowed: true }
export const patched = (...operations: readonly Json[]): Json => ({
  allowed: true,
  patchType: 'JSONPatch',
  patch: Buffer.from(JSON.stringify(operations)).toString('base64'),
})

export const rule = (
  operations: readonly string[],
  resource: string,
  group = '',
  ...versions: readonly string[]
): Json => ({
  operations,
  apiGroups: [group],
  apiVersions: versions.length === 0 ? ['v1'] : versions,
  resources: [resource],
})

export const pathOf = (kind: 'Mutating' | 'Validating'): string =>
  `/apis/admissionregistration.k8s.io/v1/${kind.toLowerCase()}webhookconfigurations`

export interface Hook extends Json {
  readonly name: string
  readonly path: string
}

/** A configuration, whose hooks are about the test's own namespaces unless they say otherwise. */
export const configuration = (
  server: WebhookServer,
  kind: 'Mutating' | 'Validating',
  name: string,
  hooks: readonly Hook[],
  labels: Json = {},
): Json => ({
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: `${kind}WebhookConfiguration`,
  metadata: { name, labels },
  webhooks: [
    ...hooks.map(({ path, ...hook }) => ({
      clientConfig: server.client(path),
      sideEffects: 'None',
      admissionReviewVersions: ['v1', 'v1beta1'],
      namespaceSelector: server.namespaceSelector,
      ...hook,
    })),
    // Denied markers tell when the configuration has come into effect.
    {
      name: `${kind.toLowerCase()}-is-webhook-configuration-ready.k8s.io`,
      rules: [rule(['CREATE'], 'configmaps')],
      clientConfig: server.client('/always-deny'),
      sideEffects: 'None',
      admissionReviewVersions: ['v1', 'v1beta1'],
      namespaceSelector: { matchLabels: { [`${server.label}-markers`]: 'true' } },
      objectSelector: { matchLabels: { [name]: 'true' } },
    },
  ],
})

/** Creates the configuration, and waits until it is in effect. */
export async function register(
  fixture: Fixture,
  server: WebhookServer,
  kind: 'Mutating' | 'Validating',
  hooks: readonly Hook[],
  labels: Json = {},
): Promise<string> {
  const { api, unique, cleanUp } = fixture
  const name = unique('e2e-test-webhook-config')
  cleanUp(() => api.delete(`${pathOf(kind)}/${name}`))
  await api.post(pathOf(kind), configuration(server, kind, name, hooks, labels))
  await inEffect(fixture, server, name)
  return name
}

export async function inEffect(
  { api, until, unique }: Fixture,
  { markers }: WebhookServer,
  name: string,
): Promise<void> {
  await until(`the webhooks of ${name} are in effect`, async () => {
    const answer = await api.call('POST', `/api/v1/namespaces/${markers}/configmaps`, {
      body: {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: unique('marker'), labels: { [name]: 'true' } },
      },
    })
    return answer.text.includes('denied')
  })
}
