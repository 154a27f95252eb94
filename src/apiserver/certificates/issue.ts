/** Makes certificates and requests (RFC 5280, RFC 2986), and reads requests. */
import { createHash, createPublicKey } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type * as X509 from '@peculiar/x509'
import type { Credential } from './keys.ts'
import type { ParsedName } from './read.ts'

/** Loaded when something is made: a start that finds its certificates does without, which saves 80 ms. */
async function library(): Promise<typeof X509> {
  await import('reflect-metadata')
  return import('@peculiar/x509')
}

const OID = { commonName: '2.5.4.3', organization: '2.5.4.10', alternativeNames: '2.5.29.17' }
const ECDSA = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

/** Whom a certificate is for. */
export interface Subject {
  readonly commonName: string
  /** Groups, in a client certificate. */
  readonly organizations?: readonly string[]
}

export interface AlternativeNames {
  readonly names?: readonly string[]
  readonly addresses?: readonly string[]
}

export interface CertificateTemplate extends AlternativeNames {
  readonly subject: Subject
  /** DER of its SubjectPublicKeyInfo: any kind of key. */
  readonly publicKey: Uint8Array
  readonly notBefore: Date
  readonly notAfter: Date
  /** 16 random bytes. */
  readonly serial: Uint8Array
  readonly authority?: boolean
  readonly usages?: readonly ('client' | 'server')[]
}

/** Who signs: the authority's certificate and key, or the key alone for a certificate that signs itself. */
export interface Signer {
  readonly certificate?: Credential['certificate']
  readonly key: KeyObject
}

export const publicKeyBytes = (key: KeyObject): Uint8Array =>
  createPublicKey(key).export({ format: 'der', type: 'spki' })

// UTF-8 always: given a bare string the library reads `#` and `\` in it as its own notation.
const nameOf = ({ commonName, organizations = [] }: Subject) => [
  ...organizations.map((name) => ({ [OID.organization]: [{ utf8String: name }] })),
  ...(commonName === '' ? [] : [{ [OID.commonName]: [{ utf8String: commonName }] }]),
]

/** The certificate, PEM. */
export async function issueCertificate(
  template: CertificateTemplate,
  signer: Signer,
): Promise<string> {
  const x509 = await library()
  const { authority = false, usages = [] } = template
  const { digitalSignature, keyEncipherment, keyCertSign, cRLSign } = x509.KeyUsageFlags
  const purposes = {
    server: x509.ExtendedKeyUsage.serverAuth,
    client: x509.ExtendedKeyUsage.clientAuth,
  }
  const serial = Buffer.from(template.serial)
  serial[0] = (serial[0]! & 0x7f) | 0x40
  const subject = new x509.Name(nameOf(template.subject))
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial.toString('hex'),
    subject,
    issuer:
      signer.certificate === undefined
        ? subject
        : new x509.X509Certificate(signer.certificate).subjectName,
    notBefore: template.notBefore,
    notAfter: template.notAfter,
    publicKey: new x509.PublicKey(Buffer.from(template.publicKey)),
    signingKey: signer.key.toCryptoKey(ECDSA, false, ['sign']),
    signingAlgorithm: ECDSA,
    extensions: [
      new x509.BasicConstraintsExtension(authority, undefined, true),
      new x509.KeyUsagesExtension(
        authority
          ? digitalSignature | keyCertSign | cRLSign | keyEncipherment
          : digitalSignature | keyEncipherment,
        true,
      ),
      ...(usages.length === 0
        ? []
        : [new x509.ExtendedKeyUsageExtension(usages.map((use) => purposes[use]))]),
      new x509.SubjectKeyIdentifierExtension(keyId(template.publicKey)),
      new x509.AuthorityKeyIdentifierExtension(keyId(publicKeyBytes(signer.key))),
      ...(await alternativesOf(template)),
    ],
  })
  return `${certificate.toString('pem')}\n`
}

async function alternativesOf({
  names = [],
  addresses = [],
}: AlternativeNames): Promise<readonly X509.Extension[]> {
  if (names.length + addresses.length === 0) return []
  const x509 = await library()
  return [
    new x509.SubjectAlternativeNameExtension([
      ...names.map((value) => ({ type: 'dns', value }) as const),
      ...addresses.map((value) => ({ type: 'ip', value }) as const),
    ]),
  ]
}

const keyId = (publicKey: Uint8Array): string =>
  createHash('sha256').update(publicKey).digest('hex').slice(0, 40)

/** What a PKCS #10 request asks for. */
export interface CertificateRequest {
  readonly subject: ParsedName
  /** DER of its SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array
  readonly names: readonly string[]
  readonly addresses: readonly string[]
  readonly emails: readonly string[]
  readonly uris: readonly string[]
  /** Whether the key that it is about has signed it. */
  isSigned(): Promise<boolean>
}

const REQUEST =
  /-----BEGIN CERTIFICATE REQUEST-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE REQUEST-----/

/** Reads a PKCS#10 request; throws with a reason when it is not one. */
export async function readRequest(text: string): Promise<CertificateRequest> {
  const [block] = REQUEST.exec(text) ?? []
  if (block === undefined)
    throw new Error('PEM block type must be CERTIFICATE REQUEST, and there is no such block')
  const x509 = await library()
  const request = new x509.Pkcs10CertificateRequest(block)
  const found = request.getExtension(OID.alternativeNames)
  const alternatives =
    found === null ? [] : new x509.SubjectAlternativeNameExtension(found.rawData).names.items
  const ofType = (wanted: string): readonly string[] =>
    alternatives.filter(({ type }) => type === wanted).map(({ value }) => value)
  return {
    subject: {
      commonName: request.subjectName.getField(OID.commonName).at(-1) ?? '',
      organizations: request.subjectName.getField(OID.organization),
    },
    publicKey: new Uint8Array(request.publicKey.rawData),
    names: ofType('dns'),
    addresses: ofType('ip'),
    emails: ofType('email'),
    uris: ofType('url'),
    // A kind of signature that cannot be checked is none.
    isSigned: () => request.verify().catch(() => false),
  }
}

/** A PKCS#10 request as PEM, for a kubelet that asks for its certificate. */
export async function createRequest(
  subject: Subject,
  key: KeyObject,
  alternatives: AlternativeNames = {},
): Promise<string> {
  const x509 = await library()
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: nameOf(subject) as never,
    keys: {
      privateKey: key.toCryptoKey(ECDSA, false, ['sign']),
      publicKey: createPublicKey(key).toCryptoKey(ECDSA, true, ['verify']),
    },
    signingAlgorithm: ECDSA,
    extensions: [...(await alternativesOf(alternatives))],
  })
  return `${request.toString('pem')}\n`
}
