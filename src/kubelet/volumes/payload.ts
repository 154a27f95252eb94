/** The files of configMap, secret, downwardAPI and projected volumes: computed, not yet written. */
import type {
  ConfigMap,
  KeyToPath,
  Pod,
  PodCertificateProjection,
  Secret,
  Volume,
  VolumeProjection,
} from '#api'
import { type DownwardFacts, fieldValue, resourceValue } from '../pod/downward.ts'

export interface PayloadFile {
  readonly data: Uint8Array
  readonly mode: number
  /** Owner, for files that only one user may read. */
  readonly uid?: number
}
/** By relative path. */
export type Payload = ReadonlyMap<string, PayloadFile>

/** Names of what a volume needs from the API. */
export type SourceRef =
  | { readonly kind: 'ConfigMap' | 'Secret'; readonly name: string }
  | { readonly kind: 'Token'; readonly audience: string; readonly expirationSeconds: number }
  | { readonly kind: 'PodCertificate'; readonly source: PodCertificateProjection }
  | {
      readonly kind: 'ClusterTrustBundle'
      readonly name?: string
      readonly signerName?: string
      readonly labelSelector?: Readonly<Record<string, unknown>>
    }

/** What was found: looked up by the same reference. */
export interface FoundSources {
  configMap(name: string): ConfigMap | undefined
  secret(name: string): Secret | undefined
  token(audience: string, expirationSeconds: number): string
  /** Both PEM. */
  podCertificate(source: PodCertificateProjection): { readonly key: string; readonly chain: string }
  /** PEM, or undefined when there is no such bundle. */
  trustBundle(ref: Extract<SourceRef, { kind: 'ClusterTrustBundle' }>): string | undefined
}

/** The volume cannot be made as things are: an event says why, and it is tried again. */
export class VolumeError extends Error {
  override readonly name = 'VolumeError'
}

const DEFAULT_MODE = 0o644
const DEFAULT_TOKEN_SECONDS = 3600

export const hasPayload = ({ configMap, secret, downwardAPI, projected }: Volume): boolean =>
  (configMap ?? secret ?? downwardAPI ?? projected) !== undefined

export function sourceRefs(volume: Volume): readonly SourceRef[] {
  const { configMap, secret, projected } = volume
  if (configMap !== undefined) return [{ kind: 'ConfigMap', name: configMap.name ?? '' }]
  if (secret !== undefined) return [{ kind: 'Secret', name: secret.secretName ?? '' }]
  return (projected?.sources ?? []).flatMap(projectionRefs)
}

function projectionRefs(source: VolumeProjection): readonly SourceRef[] {
  const { configMap, secret, serviceAccountToken: token, clusterTrustBundle: bundle } = source
  if (configMap !== undefined) return [{ kind: 'ConfigMap', name: configMap.name ?? '' }]
  if (secret !== undefined) return [{ kind: 'Secret', name: secret.name ?? '' }]
  if (token !== undefined) {
    const { audience = '', expirationSeconds = DEFAULT_TOKEN_SECONDS } = token
    return [{ kind: 'Token', audience, expirationSeconds }]
  }
  if (bundle !== undefined) return [bundleRef(bundle)]
  if (source.podCertificate !== undefined) {
    return [{ kind: 'PodCertificate', source: source.podCertificate }]
  }
  return []
}

function bundleRef(
  bundle: NonNullable<VolumeProjection['clusterTrustBundle']>,
): Extract<SourceRef, { kind: 'ClusterTrustBundle' }> {
  const { name, signerName, labelSelector } = bundle
  return {
    kind: 'ClusterTrustBundle',
    ...(name === undefined ? {} : { name }),
    ...(signerName === undefined ? {} : { signerName }),
    ...(labelSelector === undefined ? {} : { labelSelector: { ...labelSelector } }),
  }
}

export function payloadOf(
  pod: Pod,
  volume: Volume,
  sources: FoundSources,
  facts: DownwardFacts,
): Payload {
  const files = new Map<string, PayloadFile>()
  const { configMap, secret, downwardAPI, projected } = volume
  if (configMap !== undefined) {
    const { name = '', items, optional = false, defaultMode = DEFAULT_MODE } = configMap
    addConfigMap(files, sources.configMap(name), { name, items, optional }, defaultMode)
  } else if (secret !== undefined) {
    const { secretName: name = '', items, optional = false, defaultMode = DEFAULT_MODE } = secret
    addSecret(files, sources.secret(name), { name, items, optional }, defaultMode)
  } else if (downwardAPI !== undefined) {
    const { items = [], defaultMode = DEFAULT_MODE } = downwardAPI
    addDownward(files, pod, items, defaultMode, facts)
  } else if (projected !== undefined) {
    const mode = projected.defaultMode ?? DEFAULT_MODE
    for (const source of projected.sources ?? []) {
      addProjection(files, pod, source, sources, mode, facts)
    }
  }
  return files
}

function addProjection(
  files: Map<string, PayloadFile>,
  pod: Pod,
  source: VolumeProjection,
  sources: FoundSources,
  mode: number,
  facts: DownwardFacts,
): void {
  const { configMap, secret, downwardAPI, serviceAccountToken, clusterTrustBundle } = source
  const { podCertificate } = source
  if (configMap !== undefined) {
    const { name = '', items, optional = false } = configMap
    addConfigMap(files, sources.configMap(name), { name, items, optional }, mode)
  } else if (secret !== undefined) {
    const { name = '', items, optional = false } = secret
    addSecret(files, sources.secret(name), { name, items, optional }, mode)
  } else if (downwardAPI !== undefined) {
    addDownward(files, pod, downwardAPI.items ?? [], mode, facts)
  } else if (serviceAccountToken !== undefined) {
    const { audience = '', expirationSeconds = DEFAULT_TOKEN_SECONDS, path } = serviceAccountToken
    const data = Buffer.from(sources.token(audience, expirationSeconds))
    files.set(path, { data, ...tokenAccess(pod, mode) })
  } else if (clusterTrustBundle !== undefined) {
    const ref = bundleRef(clusterTrustBundle)
    const pem = sources.trustBundle(ref)
    if (pem === undefined && clusterTrustBundle.optional !== true) {
      throw new VolumeError(
        ref.name === undefined
          ? `no ClusterTrustBundle of signer "${ref.signerName ?? ''}" matches the selector`
          : `clustertrustbundle "${ref.name}" not found`,
      )
    }
    files.set(clusterTrustBundle.path, { data: Buffer.from(pem ?? ''), mode })
  } else if (podCertificate !== undefined) {
    const { key, chain } = sources.podCertificate(podCertificate)
    const { credentialBundlePath = '', keyPath = '', certificateChainPath = '' } = podCertificate
    for (const [path, text] of [
      [credentialBundlePath, key + chain],
      [keyPath, key],
      [certificateChainPath, chain],
    ] as const) {
      if (path !== '') files.set(path, { data: Buffer.from(text), ...tokenAccess(pod, mode) })
    }
  } else {
    throw new VolumeError('this kind of projected source is not supported by the node')
  }
}

/** A secret of the pod's own is for whom the containers run as, and the pod's group; for all when there is neither. */
function tokenAccess(pod: Pod, mode: number): Pick<PayloadFile, 'mode' | 'uid'> {
  const { securityContext, containers, initContainers = [] } = pod.spec
  const users = new Set(
    [...containers, ...initContainers].map(
      (container) => container.securityContext?.runAsUser ?? securityContext?.runAsUser,
    ),
  )
  const [only] = users
  if (users.size === 1 && only !== undefined) return { mode: 0o600, uid: only }
  return { mode: securityContext?.fsGroup === undefined ? mode : 0o600 }
}

interface Wanted {
  readonly name: string
  readonly items: readonly KeyToPath[] | undefined
  readonly optional: boolean
}

function addConfigMap(
  files: Map<string, PayloadFile>,
  map: ConfigMap | undefined,
  wanted: Wanted,
  mode: number,
): void {
  if (map === undefined && !wanted.optional) {
    throw new VolumeError(`configmap "${wanted.name}" not found`)
  }
  const values = new Map<string, Uint8Array>()
  for (const [key, text] of Object.entries(map?.data ?? {})) values.set(key, Buffer.from(text))
  for (const [key, base64] of Object.entries(map?.binaryData ?? {})) {
    values.set(key, Buffer.from(base64, 'base64'))
  }
  addItems(files, values, wanted, mode, 'config')
}

function addSecret(
  files: Map<string, PayloadFile>,
  secret: Secret | undefined,
  wanted: Wanted,
  mode: number,
): void {
  if (secret === undefined && !wanted.optional) {
    throw new VolumeError(`secret "${wanted.name}" not found`)
  }
  const values = new Map<string, Uint8Array>()
  for (const [key, base64] of Object.entries(secret?.data ?? {})) {
    values.set(key, Buffer.from(base64, 'base64'))
  }
  addItems(files, values, wanted, mode, 'secret')
}

function addItems(
  files: Map<string, PayloadFile>,
  values: ReadonlyMap<string, Uint8Array>,
  { items, optional }: Wanted,
  mode: number,
  what: 'config' | 'secret',
): void {
  if (items === undefined || items.length === 0) {
    for (const [key, data] of values) files.set(key, { data, mode })
    return
  }
  for (const { key, path, mode: own } of items) {
    const data = values.get(key)
    if (data === undefined) {
      if (optional) continue
      throw new VolumeError(`references non-existent ${what} key: ${key}`)
    }
    files.set(path, { data, mode: own ?? mode })
  }
}

function addDownward(
  files: Map<string, PayloadFile>,
  pod: Pod,
  items: NonNullable<NonNullable<Volume['downwardAPI']>['items']>,
  mode: number,
  facts: DownwardFacts,
): void {
  for (const { path, fieldRef, resourceFieldRef, mode: own } of items) {
    const text =
      fieldRef !== undefined
        ? fieldValue(pod, fieldRef.fieldPath, facts)
        : resourceFieldRef === undefined
          ? ''
          : resourceValue(pod, resourceFieldRef.containerName ?? '', resourceFieldRef, facts)
    files.set(path, { data: Buffer.from(text), mode: own ?? mode })
  }
}

/** Whether a change of the pod's metadata may change the files. */
export const usesDownward = ({ downwardAPI, projected }: Volume): boolean =>
  downwardAPI !== undefined ||
  (projected?.sources ?? []).some((source) => source.downwardAPI !== undefined)
