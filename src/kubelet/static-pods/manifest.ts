/** A pod that a file on the node describes: this node runs it, whatever the API knows of it. */
import { createHash } from 'node:crypto'
import { type Node, type Pod, findDefinition, pods } from '#api'
import { type JsonObject, decodeYaml } from '#machinery'
import { environmentSources } from '../pod/environment.ts'
import { type SourceRef, sourceRefs } from '../volumes/payload.ts'

const ANNOTATIONS = {
  /** The pod's uid here; on its mirror in the API too. */
  hash: 'kubernetes.io/config.hash',
  mirror: 'kubernetes.io/config.mirror',
  seen: 'kubernetes.io/config.seen',
  source: 'kubernetes.io/config.source',
} as const

export interface ManifestFacts {
  readonly file: string
  readonly nodeName: string
  readonly seen: Date
}

/** Throws when the text is no pod, with the reason. */
export function staticPodOf(text: string, { file, nodeName, seen }: ManifestFacts): Pod {
  const { value } = decodeYaml(text)
  const given = value as JsonObject | undefined
  if (given?.['kind'] !== 'Pod' || given['apiVersion'] !== 'v1')
    throw new Error('it is not a Pod of version v1')
  const metadata = (given['metadata'] ?? {}) as Pod['metadata']
  const spec = given['spec'] as Pod['spec'] | undefined
  if (typeof metadata.name !== 'string' || metadata.name === '')
    throw new Error('it has no metadata.name')
  if (!Array.isArray(spec?.containers)) throw new Error('it has no spec.containers')
  // The same file with other words in it is another pod.
  const uid =
    metadata.uid ??
    createHash('md5')
      .update(`${nodeName}\0${file}\0${JSON.stringify(given)}`)
      .digest('hex')
  const { status: _, ...rest } = given
  const object = {
    ...structuredClone(rest),
    metadata: {
      ...metadata,
      name: `${metadata.name}-${nodeName}`.toLowerCase(),
      namespace: metadata.namespace ?? 'default',
      uid,
      creationTimestamp: `${seen.toISOString().slice(0, 19)}Z`,
      annotations: {
        ...metadata.annotations,
        [ANNOTATIONS.hash]: uid,
        [ANNOTATIONS.seen]: seen.toISOString(),
        [ANNOTATIONS.source]: 'file',
      },
    },
    spec: {
      ...structuredClone(spec),
      nodeName,
      // It stays, whatever becomes of the node.
      tolerations: [...(spec.tolerations ?? []), { operator: 'Exists', effect: 'NoExecute' }],
    },
  }
  const definition = findDefinition(pods.group, pods.version, pods.resource)
  definition?.defaults(object as unknown as JsonObject)
  const problems = definition?.validate(object as unknown as JsonObject) ?? []
  if (problems.length > 0)
    throw new Error(problems.map(({ field, detail }) => `${field}: ${detail}`).join('; '))
  const pod: Pod = { ...(object as unknown as Pod), status: { phase: 'Pending' } }
  const used = apiReference(pod)
  if (used !== undefined) throw new Error(`a static pod may not reference ${used}`)
  return pod
}

/** It runs without the API: what is kept there is not to be had. */
function apiReference(pod: Pod): string | undefined {
  const { spec } = pod
  if ((spec.serviceAccountName ?? '') !== '') return 'service accounts'
  if ((spec.imagePullSecrets ?? []).length > 0) return 'secrets'
  if ((spec.resourceClaims ?? []).length > 0) return 'resource claims'
  const { configMaps, secrets } = environmentSources(pod)
  if (secrets.length > 0) return 'secrets'
  if (configMaps.length > 0) return 'config maps'
  for (const volume of spec.volumes ?? []) {
    if ((volume.persistentVolumeClaim ?? volume.ephemeral) !== undefined)
      return 'persistent volume claims'
    const [ref] = sourceRefs(volume)
    if (ref !== undefined) return KINDS[ref.kind]
  }
  return undefined
}

const KINDS: Readonly<Record<SourceRef['kind'], string>> = {
  ConfigMap: 'config maps',
  Secret: 'secrets',
  Token: 'tokens of service accounts',
  PodCertificate: 'pod certificates',
  ClusterTrustBundle: 'cluster trust bundles',
}

/** What the API shows of it: it can be looked at there, and not changed. */
export function mirrorOf(
  pod: Pod,
  node: Node | undefined,
): Omit<Pod, 'metadata'> & { metadata: object } {
  const { uid, name, namespace, labels, annotations } = pod.metadata
  const { status: _, ...rest } = pod
  return {
    ...rest,
    metadata: {
      name,
      namespace,
      ...(labels === undefined ? {} : { labels }),
      annotations: { ...annotations, [ANNOTATIONS.mirror]: uid ?? '' },
      ...(node?.metadata.uid === undefined
        ? {}
        : {
            ownerReferences: [
              {
                apiVersion: 'v1',
                kind: 'Node',
                name: node.metadata.name,
                uid: node.metadata.uid,
                controller: true,
              },
            ],
          }),
    },
  }
}

export const isMirror = ({ metadata }: Pod): boolean =>
  metadata.annotations?.[ANNOTATIONS.mirror] !== undefined

/** A mirror of exactly this pod, that nobody is deleting. */
export const mirrors = (mirror: Pod, pod: Pod): boolean =>
  mirror.metadata.deletionTimestamp === undefined &&
  mirror.metadata.annotations?.[ANNOTATIONS.mirror] === pod.metadata.uid
