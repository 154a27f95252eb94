export {
  createRequest,
  issueCertificate,
  keyPem,
  newKey,
  parseCertificate,
  parseRequest,
  pemBytes,
  type CertificateRequest,
  type Credential,
  type ParsedCertificate,
  type Subject,
} from './certificate.ts'
export {
  kubeconfig,
  kubeconfigText,
  type KubeconfigDocument,
  type KubeconfigOptions,
} from './kubeconfig.ts'
export { ensurePki, type LeafOptions, type Pki, type PkiOptions } from './pki.ts'
