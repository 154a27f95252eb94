import { configMaps, namespaces, type ConfigMap, type Namespace } from '#api'
import {
  create,
  defineController,
  nothing,
  sameJson,
  update,
  watching,
  type Controller,
  type Decision,
} from '../framework/index.ts'

const NAME = 'kube-root-ca.crt'
const DESCRIPTION =
  'Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.'

export interface Observed {
  readonly namespace: Namespace
  readonly published: ConfigMap | undefined
}

export const decide =
  (authority: string) =>
  ({ namespace, published }: Observed): Decision => {
    if (namespace.status?.phase === 'Terminating') return nothing
    const annotations = { 'kubernetes.io/description': DESCRIPTION }
    const data = { 'ca.crt': authority }
    if (published === undefined)
      return {
        actions: [
          create(configMaps, {
            metadata: { name: NAME, namespace: namespace.metadata.name, annotations },
            data,
          }),
        ],
      }
    if (
      sameJson(published.data, data) &&
      published.metadata.annotations?.['kubernetes.io/description'] === DESCRIPTION
    )
      return nothing
    const { binaryData: _, ...rest } = published
    return {
      actions: [
        update(configMaps, {
          ...rest,
          metadata: {
            ...published.metadata,
            annotations: { ...published.metadata.annotations, ...annotations },
          },
          data,
        }),
      ],
    }
  }

/** Publishes the cluster's authority, PEM, in every namespace, and puts it right when somebody changes it. */
export const rootCaController = (authority: string): Controller =>
  defineController<Observed>({
    name: 'root-ca-certificate-publisher',
    for: namespaces,
    watches: [
      watching<ConfigMap>(configMaps, ({ metadata }) =>
        metadata.name === NAME ? [metadata.namespace ?? ''] : [],
      ),
    ],
    observe(cache, key) {
      const namespace = cache.get(namespaces, key)
      return namespace && { namespace, published: cache.get(configMaps, `${key}/${NAME}`) }
    },
    decide: decide(authority),
  })
