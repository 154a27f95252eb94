export { addressText } from './addresses.ts'
export {
  createRequest,
  keyPem,
  newKey,
  parseCertificate,
  parseRequest,
  type CertificateRequest,
  type Credential,
  type ParsedCertificate,
  type Subject,
} from './certificate.ts'
export { kubeconfigText, type KubeconfigDocument, type KubeconfigOptions } from './kubeconfig.ts'
export { ensurePki, type LeafOptions, type Pki, type PkiOptions } from './pki.ts'
