import { timestamp } from '#machinery'
import { certificateSigningRequests, type CertificateSigningRequest } from '#api'
import { nothing, patch, type Decision } from '../framework/index.ts'

/** What a PKCS#10 request asks for. */
export interface RequestedCertificate {
  readonly commonName: string
  readonly organizations: readonly string[]
  readonly names: readonly string[]
  readonly addresses: readonly string[]
  readonly emails: readonly string[]
  readonly uris: readonly string[]
}

/** The cluster's authority, as the signer needs it. */
export interface CertificateAuthority {
  /** Fails when the text is no request. */
  read(requestPem: string): Promise<RequestedCertificate>
  /** The certificate, PEM. Fails when the request was not signed by its own key. */
  sign(
    requestPem: string,
    options: { readonly usages: readonly ('client' | 'server')[]; readonly seconds?: number },
  ): Promise<string>
  /** Names and addresses that no node may have: the API server's own. */
  readonly reserved: readonly string[]
}

const NODE_CLIENT = 'kubernetes.io/kube-apiserver-client-kubelet'
const NODE_SERVING = 'kubernetes.io/kubelet-serving'
const CLIENT = 'kubernetes.io/kube-apiserver-client'
const NODE_PREFIX = 'system:node:'
const NODES = 'system:nodes'
const BOOTSTRAPPERS = 'system:bootstrappers'
const HARMLESS_USAGES: ReadonlySet<string> = new Set(['digital signature', 'key encipherment'])

/** Approves what nodes may have for themselves, signs what is approved, and says why it does not. */
export const decide =
  (authority: CertificateAuthority) =>
  async (request: CertificateSigningRequest, now: Date): Promise<Decision> => {
    const { signerName } = request.spec
    if (![NODE_CLIENT, NODE_SERVING, CLIENT].includes(signerName)) return nothing
    const conditions = request.status?.conditions ?? []
    const has = (type: string): boolean => conditions.some((condition) => condition.type === type)
    if (has('Denied') || has('Failed') || (request.status?.certificate ?? '') !== '') return nothing
    const time = timestamp(now)
    const condition = (type: string, reason: string, message: string) => [
      ...conditions,
      { type, status: 'True', reason, message, lastUpdateTime: time, lastTransitionTime: time },
    ]
    const change = (status: object, subresource: string): Decision => ({
      actions: [
        patch(
          certificateSigningRequests,
          request,
          {
            metadata: { resourceVersion: request.metadata.resourceVersion ?? '' },
            status: status as Record<string, never>,
          },
          { subresource, whole: true },
        ),
      ],
    })

    const text = Buffer.from(request.spec.request, 'base64').toString('utf8')
    const refusal = await refusalOf(request, text, authority)
    if (!has('Approved')) {
      if (refusal !== undefined || !isForItself(request, await authority.read(text))) return nothing
      return change(
        {
          conditions: condition(
            'Approved',
            'AutoApproved',
            signerName === NODE_CLIENT
              ? 'A node may have a client certificate for itself'
              : 'A node may have a serving certificate for itself',
          ),
        },
        'approval',
      )
    }
    const failed = (message: string): Decision =>
      change({ conditions: condition('Failed', 'SignerValidationFailure', message) }, 'status')
    if (refusal !== undefined) return failed(refusal)
    try {
      const seconds = request.spec.expirationSeconds
      const certificate = await authority.sign(text, {
        usages: [signerName === NODE_SERVING ? 'server' : 'client'],
        ...(seconds === undefined ? {} : { seconds }),
      })
      return change({ certificate: Buffer.from(certificate).toString('base64') }, 'status')
    } catch (error) {
      return failed(error instanceof Error ? error.message : String(error))
    }
  }

/** Whether it is asked for by the node that it is about, or by one that is about to become it. */
function isForItself(
  { spec }: CertificateSigningRequest,
  { commonName }: RequestedCertificate,
): boolean {
  const groups = spec.groups ?? []
  if (spec.username === commonName && groups.includes(NODES)) return true
  return spec.signerName === NODE_CLIENT && groups.includes(BOOTSTRAPPERS)
}

/** What upstream's signers demand of a request; undefined when all is well. */
async function refusalOf(
  { spec }: CertificateSigningRequest,
  text: string,
  { read, reserved }: CertificateAuthority,
): Promise<string | undefined> {
  let asked: RequestedCertificate
  try {
    asked = await read(text)
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
  const wanted = spec.signerName === NODE_SERVING ? 'server auth' : 'client auth'
  const usages = spec.usages ?? []
  if (!usages.includes(wanted)) return `usages must include ${JSON.stringify(wanted)}`
  const strange = usages.find((usage) => usage !== wanted && !HARMLESS_USAGES.has(usage))
  if (strange !== undefined) return `usage ${JSON.stringify(strange)} is not allowed`
  if (spec.signerName === CLIENT) {
    if (asked.organizations.includes('system:masters'))
      return 'the organization system:masters is not given away'
    return reserved.includes(asked.commonName)
      ? `the name ${asked.commonName} is the API server's own`
      : undefined
  }
  if (!asked.commonName.startsWith(NODE_PREFIX))
    return `subject common name must begin with ${NODE_PREFIX}`
  if (asked.organizations.length !== 1 || asked.organizations[0] !== NODES)
    return `subject organization must be ${NODES}`
  if (asked.emails.length > 0 || asked.uris.length > 0)
    return 'email and URI alternative names are not allowed'
  if (spec.signerName === NODE_CLIENT)
    return asked.names.length + asked.addresses.length > 0
      ? 'alternative names are not allowed'
      : undefined
  if (asked.names.length + asked.addresses.length === 0)
    return 'at least one DNS or IP alternative name is required'
  const node = asked.commonName.slice(NODE_PREFIX.length)
  const other = asked.names.find((name) => name !== node)
  if (other !== undefined) return `the name ${JSON.stringify(other)} is not the node's`
  const taken = [...asked.names, ...asked.addresses].find((name) => reserved.includes(name))
  return taken === undefined ? undefined : `${JSON.stringify(taken)} is the API server's own`
}
