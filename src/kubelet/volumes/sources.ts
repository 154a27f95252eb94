/** Where volumes get what they need of the API. */
import { type Pod, persistentVolumeClaims, persistentVolumes } from '#api'
import type { Client } from '#client'
import type { PodCertificates } from '../certificates/index.ts'
import { namespaceOf } from '../pod/containers.ts'
import type { Sources } from '../sources.ts'
import type { Tokens } from '../tokens.ts'
import type { FoundSources, SourceRef } from './payload.ts'
import type { VolumeSources } from './pod-volumes.ts'
import { clusterTrustBundles } from './trust-bundles.ts'

interface Makers {
  readonly objects: Sources
  readonly tokens: Tokens
  readonly certificates: PodCertificates
}

export function volumeSources(client: Client, makers: Makers): VolumeSources {
  return {
    find: (pod, refs, signal) => find(client, makers, pod, refs, signal),
    claim: (namespace, name) => client.getOptional(persistentVolumeClaims, { namespace, name }),
    persistentVolume: (name) => client.getOptional(persistentVolumes, { name }),
  }
}

async function find(
  client: Client,
  { objects, tokens, certificates }: Makers,
  pod: Pod,
  refs: readonly SourceRef[],
  signal: AbortSignal,
): Promise<FoundSources> {
  const found = new Map<string, unknown>()
  const namespace = namespaceOf(pod)
  await Promise.all(
    refs.map(async (ref) => {
      const key = JSON.stringify(ref)
      switch (ref.kind) {
        case 'ConfigMap':
          found.set(key, await objects.configMap(namespace, ref.name))
          break
        case 'Secret':
          found.set(key, await objects.secret(namespace, ref.name))
          break
        case 'Token':
          found.set(key, await tokens.get(pod, ref.audience, ref.expirationSeconds, signal))
          break
        case 'PodCertificate':
          found.set(key, await certificates.get(pod, ref.source, signal))
          break
        case 'ClusterTrustBundle':
          found.set(key, await trustBundle(client, ref))
          break
      }
    }),
  )
  const at = <T>(ref: SourceRef): T => found.get(JSON.stringify(ref)) as T
  return {
    configMap: (name) => at({ kind: 'ConfigMap', name }),
    secret: (name) => at({ kind: 'Secret', name }),
    token: (audience, expirationSeconds) => at({ kind: 'Token', audience, expirationSeconds }),
    podCertificate: (source) => at({ kind: 'PodCertificate', source }),
    trustBundle: (ref) => at(ref),
  }
}

/** One bundle by name, or all of a signer that the selector takes: each certificate once, in a fixed order. */
async function trustBundle(
  client: Client,
  ref: Extract<SourceRef, { kind: 'ClusterTrustBundle' }>,
): Promise<string | undefined> {
  if (ref.name !== undefined) {
    const bundle = await client.getOptional(clusterTrustBundles, { name: ref.name })
    return bundle === undefined ? undefined : merged([bundle.spec.trustBundle])
  }
  const { items } = await client.list(clusterTrustBundles, {
    fieldSelector: `spec.signerName=${ref.signerName ?? ''}`,
    ...(ref.labelSelector === undefined ? {} : { labelSelector: selectorText(ref.labelSelector) }),
  })
  const fitting = ref.labelSelector === undefined ? [] : items
  if (fitting.length === 0) return undefined
  return merged(fitting.map(({ spec }) => spec.trustBundle))
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g

const merged = (bundles: readonly string[]): string =>
  [...new Set(bundles.flatMap((text) => text.match(CERTIFICATE) ?? []))]
    .toSorted()
    .map((certificate) => `${certificate}\n`)
    .join('')

function selectorText(selector: Readonly<Record<string, unknown>>): string {
  const { matchLabels = {}, matchExpressions = [] } = selector as {
    matchLabels?: Readonly<Record<string, string>>
    matchExpressions?: readonly { key: string; operator: string; values?: readonly string[] }[]
  }
  const terms = Object.entries(matchLabels).map(([key, value]) => `${key}=${value}`)
  for (const { key, operator, values = [] } of matchExpressions) {
    if (operator === 'Exists') terms.push(key)
    else if (operator === 'DoesNotExist') terms.push(`!${key}`)
    else terms.push(`${key} ${operator === 'In' ? 'in' : 'notin'} (${values.join(',')})`)
  }
  return terms.join(',')
}
