import { certificateSigningRequests, type CertificateSigningRequest } from '#api'
import { defineController, type Controller } from '../framework/index.ts'
import { decide, type CertificateAuthority } from './decide.ts'

export type { CertificateAuthority, RequestedCertificate } from './decide.ts'

/** Signs certificate requests with the cluster's authority: nodes' own at once, others when somebody approved them. */
export const certificatesController = (authority: CertificateAuthority): Controller =>
  defineController<CertificateSigningRequest>({
    name: 'certificates',
    for: certificateSigningRequests,
    workers: 1,
    observe: (cache, key) => cache.get(certificateSigningRequests, key),
    decide: decide(authority),
  })
