/** Where a node's kubelet answers, and whom its certificate must be for. */
import type { Node } from '#api'
import type { Pki } from '#apiserver'
import type { KubeletAddress } from '#client'
import { StatusError } from '#machinery'
import { ClusterError, type AddressType, type KubeletAccess } from './options.ts'

/** On nodes whose kubelets are ours: their serving certificates are this cluster's own. */
export const SERVING_ANNOTATION = 'navarch.dev/kubelet-certificate'
export const SERVING_BY_CLUSTER = 'cluster'

/** As most installers have it: a node is found where nothing can resolve its name. */
const DEFAULT_ADDRESS_TYPES: readonly AddressType[] = [
  'InternalIP',
  'ExternalIP',
  'InternalDNS',
  'ExternalDNS',
  'Hostname',
]

/** Where kubelets answer that do not say where. */
const USUAL_PORT = 10_250

/** Throws when the node tells no address of these kinds. */
export function kubeletAddress(
  { metadata, status }: Pick<Node, 'metadata' | 'status'>,
  {
    addressTypes = DEFAULT_ADDRESS_TYPES,
    authority,
  }: { readonly addressTypes?: readonly AddressType[]; readonly authority?: string },
  pki: Pick<Pki, 'authority' | 'kubeletClient'>,
): KubeletAddress {
  const known = status?.addresses ?? []
  const address = addressTypes
    .map((wanted) => known.find(({ type }) => type === wanted)?.address)
    .find((found) => found !== undefined && found !== '')
  if (address === undefined)
    throw new StatusError(
      '',
      `no preferred addresses found; known addresses: [${known.map((each) => `{${each.type} ${each.address}}`).join(' ')}]`,
      { code: 500 },
    )
  const { certificate, key } = pki.kubeletClient
  const trust =
    metadata.annotations?.[SERVING_ANNOTATION] === SERVING_BY_CLUSTER
      ? { authority: pki.authority.certificate, name: metadata.name }
      : authority === undefined
        ? undefined
        : { authority }
  return {
    address,
    port: status?.daemonEndpoints?.kubeletEndpoint?.Port || USUAL_PORT,
    tls: { certificate, key, ...(trust === undefined ? {} : { trust }) },
  }
}

/** Of a kubelet whose certificate is this cluster's. */
export const ownTrust = (
  { authority, kubeletClient }: Pick<Pki, 'authority' | 'kubeletClient'>,
  name: string,
): KubeletAddress['tls'] => ({
  certificate: kubeletClient.certificate,
  key: kubeletClient.key,
  trust: { authority: authority.certificate, name },
})

/** What the flags say, read. */
export interface OpenedKubeletSettings {
  readonly addressTypes?: readonly AddressType[]
  /** PEM. */
  readonly authority?: string
}

export async function openKubeletSettings(
  { fs }: { readonly fs: { readText(path: string): Promise<string> } },
  { addressTypes, authorityFile }: KubeletAccess,
): Promise<OpenedKubeletSettings> {
  let authority: string | undefined
  if (authorityFile !== undefined) {
    const advice = 'Check --kubelet-certificate-authority'
    authority = await fs.readText(authorityFile).catch((error: unknown) => {
      throw new ClusterError(
        `${authorityFile} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
        advice,
      )
    })
    if (!authority.includes('-----BEGIN CERTIFICATE-----'))
      throw new ClusterError(`${authorityFile} has no certificates in PEM`, advice)
  }
  return {
    ...(addressTypes === undefined ? {} : { addressTypes }),
    ...(authority === undefined ? {} : { authority }),
  }
}
