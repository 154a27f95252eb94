export { createRequest, readRequest, type CertificateRequest, type Subject } from './issue.ts'
export { keyPem, newKey, type Credential } from './keys.ts'
export { parseCertificate, type ParsedCertificate } from './read.ts'
export { kubeconfigText, type KubeconfigDocument, type KubeconfigOptions } from './kubeconfig.ts'
export {
  ensureAuthorities,
  ensurePki,
  type Authorities,
  type LeafOptions,
  type Pki,
  type PkiOptions,
} from './pki.ts'
export { forgetRetiredKeys, retiredKeys, rotateServiceAccountKey } from './rotate.ts'
