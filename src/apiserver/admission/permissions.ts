/** Plugins that ask the authorizer for more than the request itself needs. */
import type { CertificateSigningRequest } from '#api'
import type { OwnerReference } from '#machinery'
import type { Attributes, Authorizer } from '../access.ts'
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts'
import { readRequest } from '../certificates/index.ts'
import type { ServerInside } from '../inside.ts'
import { isAbout, objectOf, refuse } from './words.ts'

const CERTIFICATES = 'certificates.k8s.io'

/** `signers` is no resource that is stored: rights on it are given by signer name, or by `domain/*`. */
async function maySign(
  authorizer: Authorizer,
  request: AdmissionRequest,
  verb: 'approve' | 'sign' | 'attest',
  signerName: string,
): Promise<boolean> {
  const slash = signerName.indexOf('/')
  const names = [signerName, ...(slash < 0 ? [] : [`${signerName.slice(0, slash)}/*`])]
  for (const name of names) {
    const { verdict } = await authorizer.authorize({
      ...clusterScoped(request, verb),
      group: CERTIFICATES,
      resource: 'signers',
      name,
    })
    if (verdict === 'allow') return true
  }
  return false
}

const clusterScoped = (
  { user }: AdmissionRequest,
  verb: string,
): Omit<Attributes, 'group' | 'resource' | 'name'> => ({
  user,
  verb,
  isResource: true,
  namespace: '',
  version: '*',
  subresource: '',
  path: '',
})

const CSRS = 'certificatesigningrequests.certificates.k8s.io'

export const certificateApproval = (authorizer: Authorizer): AdmissionPlugin => ({
  name: 'CertificateApproval',
  handles: (request) => isAbout(request, CSRS, ['UPDATE'], 'approval'),
  async validate(request) {
    const { signerName } = (request.old as CertificateSigningRequest).spec
    if (!(await maySign(authorizer, request, 'approve', signerName)))
      throw refuse(
        request,
        `user not permitted to approve requests with signerName "${signerName}"`,
      )
  },
})

export const certificateSigning = (authorizer: Authorizer): AdmissionPlugin => ({
  name: 'CertificateSigning',
  handles: (request) => isAbout(request, CSRS, ['UPDATE'], 'status'),
  async validate(request) {
    const old = request.old as CertificateSigningRequest
    const now = objectOf<CertificateSigningRequest>(request)
    const failed = (csr: { readonly status?: CertificateSigningRequest['status'] }): unknown =>
      csr.status?.conditions?.filter(({ type }) => type === 'Failed') ?? []
    const unchanged =
      (old.status?.certificate ?? '') === (now.status?.certificate ?? '') &&
      JSON.stringify(failed(old)) ===
        JSON.stringify(failed(now as unknown as CertificateSigningRequest))
    if (unchanged) return
    const { signerName } = old.spec
    if (!(await maySign(authorizer, request, 'sign', signerName)))
      throw refuse(request, `user not permitted to sign requests with signerName "${signerName}"`)
  },
})

/** Nobody becomes cluster administrator by a certificate of the general client signer. */
export const certificateSubjectRestriction: AdmissionPlugin = {
  name: 'CertificateSubjectRestriction',
  handles: (request) => isAbout(request, CSRS, ['CREATE']),
  async validate(request) {
    const { spec } = objectOf<CertificateSigningRequest>(request)
    if (spec?.signerName !== 'kubernetes.io/kube-apiserver-client') return
    let organizations: readonly string[]
    try {
      const text = Buffer.from(spec.request ?? '', 'base64').toString('utf8')
      organizations = (await readRequest(text)).subject.organizations
    } catch (error) {
      throw refuse(request, `unable to parse the CSR: ${(error as Error).message}`)
    }
    if (organizations.includes('system:masters'))
      throw refuse(
        request,
        'use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed',
      )
  },
}

export const clusterTrustBundleAttest = (authorizer: Authorizer): AdmissionPlugin => ({
  name: 'ClusterTrustBundleAttest',
  handles: (request) =>
    isAbout(request, 'clustertrustbundles.certificates.k8s.io', ['CREATE', 'UPDATE']),
  async validate(request) {
    const signerName = objectOf<{ spec?: { signerName?: string } }>(request).spec?.signerName
    if (!signerName) return
    if (!(await maySign(authorizer, request, 'attest', signerName)))
      throw refuse(request, `user not permitted to attest for signerName "${signerName}"`)
  },
})

/** Who makes an object's deletion wait for another one must be allowed to touch that other one's finalizers. */
export const ownerReferencesPermissionEnforcement = (
  authorizer: Authorizer,
  { definitions }: Pick<ServerInside, 'definitions'>,
): AdmissionPlugin => ({
  name: 'OwnerReferencesPermissionEnforcement',
  handles: ({ operation, subresource }) =>
    (operation === 'CREATE' || operation === 'UPDATE') && subresource !== 'status',
  async validate(request) {
    const references = ({ metadata }: { readonly metadata: unknown }): readonly OwnerReference[] =>
      (metadata as { ownerReferences?: readonly OwnerReference[] }).ownerReferences ?? []
    const now = references(objectOf<{ metadata: unknown }>(request) as { metadata: unknown })
    const old = request.old === undefined ? [] : references(request.old)
    const { facts } = request.definition
    if (request.operation === 'UPDATE' && JSON.stringify(now) !== JSON.stringify(old)) {
      // The same right that deleting needs: an owner can have its objects deleted.
      const { verdict, reason } = await authorizer.authorize({
        ...clusterScoped(request, 'delete'),
        namespace: request.namespace,
        group: facts.group,
        version: facts.version,
        resource: facts.resource,
        name: request.name,
      })
      if (verdict !== 'allow')
        throw refuse(
          request,
          `cannot set an ownerRef on a resource you can't delete: ${reason}, <nil>`,
        )
    }
    const blocking = now.filter(
      (reference) =>
        reference.blockOwnerDeletion &&
        !old.some(({ uid, blockOwnerDeletion }) => uid === reference.uid && blockOwnerDeletion),
    )
    for (const { apiVersion, kind, name } of blocking) {
      const slash = apiVersion.indexOf('/')
      const group = slash < 0 ? '' : apiVersion.slice(0, slash)
      const version = apiVersion.slice(slash + 1)
      const owner = definitions().find(
        (definition) => definition.facts.group === group && definition.facts.kind === kind,
      )
      if (owner === undefined)
        throw refuse(
          request,
          `cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion ${apiVersion} Kind ${kind}`,
        )
      const { verdict, reason } = await authorizer.authorize({
        ...clusterScoped(request, 'update'),
        namespace: owner.facts.namespaced ? request.namespace : '',
        group,
        version,
        resource: owner.facts.resource,
        subresource: 'finalizers',
        name,
      })
      if (verdict !== 'allow')
        throw refuse(
          request,
          `cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: ${reason}, <nil>`,
        )
    }
  },
})
