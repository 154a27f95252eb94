/** X.509 certificates on P-256 keys (RFC 5280): the only kind that Navarch makes. */
import { createECDH, createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { Random } from '#base'
import { addressBytes } from './addresses.ts'
import {
  bitString,
  boolean,
  integer,
  objectIdentifier,
  octetString,
  readAll,
  readObjectIdentifier,
  readString,
  readValue,
  sequence,
  setOf,
  tagged,
  taggedBytes,
  time,
  tlv,
  utf8String,
} from './der.ts'

/** Certificate and private key, both PEM. */
export interface Credential {
  readonly certificate: string
  readonly key: string
}

export interface Subject {
  readonly commonName: string
  /** Groups, in a client certificate. */
  readonly organizations?: readonly string[]
}

const OID = {
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  /** A user's uid in a client certificate, since 1.33. */
  uid: '1.3.6.1.4.1.57683.2',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  alternativeNames: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyId: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
} as const

const EXTENDED_USAGE = {
  server: '1.3.6.1.5.5.7.3.1',
  client: '1.3.6.1.5.5.7.3.2',
} as const

/** A private key made from the environment's own randomness, so that one seed gives one key. */
export function newKey({ bytes }: Pick<Random, 'bytes'>): KeyObject {
  const curve = createECDH('prime256v1')
  for (;;) {
    const scalar = bytes(32)
    try {
      curve.setPrivateKey(scalar)
    } catch {
      continue // Zero, or not below the order of the curve: one chance in 2^32.
    }
    const point = curve.getPublicKey()
    return createPrivateKey({
      format: 'jwk',
      key: {
        kty: 'EC',
        crv: 'P-256',
        d: Buffer.from(scalar).toString('base64url'),
        x: point.subarray(1, 33).toString('base64url'),
        y: point.subarray(33).toString('base64url'),
      },
    })
  }
}

export const keyPem = (key: KeyObject): string =>
  key.export({ format: 'pem', type: key.asymmetricKeyType === 'ec' ? 'sec1' : 'pkcs8' }).toString()

export function pem(label: string, der: Uint8Array): string {
  const lines = Buffer.from(der)
    .toString('base64')
    .match(/.{1,64}/g)
  return `-----BEGIN ${label}-----\n${(lines ?? []).join('\n')}\n-----END ${label}-----\n`
}

/** The first block with this label; undefined when there is none. */
function pemBytes(label: string, text: string): Uint8Array | undefined {
  const body = new RegExp(
    `-----BEGIN ${label}-----([A-Za-z0-9+/=\\s]+)-----END ${label}-----`,
  ).exec(text)?.[1]
  return body === undefined ? undefined : Buffer.from(body, 'base64')
}

const encodeName = ({ commonName, organizations = [] }: Subject): Uint8Array =>
  sequence(
    ...organizations.map((name) => attribute(OID.organization, name)),
    ...(commonName === '' ? [] : [attribute(OID.commonName, commonName)]),
  )
const attribute = (type: string, value: string): Uint8Array =>
  setOf(sequence(objectIdentifier(type), utf8String(value)))

export interface ParsedName {
  readonly commonName: string
  readonly organizations: readonly string[]
  readonly uid?: string
}

function readName(encoded: Uint8Array): ParsedName {
  let commonName = ''
  let uid: string | undefined
  const organizations: string[] = []
  for (const relative of readAll(readValue(encoded).content))
    for (const pair of readAll(relative.content)) {
      const [type, value] = readAll(pair.content)
      if (type === undefined || value === undefined) continue
      const name = readObjectIdentifier(type)
      if (name === OID.commonName) commonName = readString(value)
      else if (name === OID.organization) organizations.push(readString(value))
      else if (name === OID.uid) uid = readString(value)
    }
  return { commonName, organizations, ...(uid === undefined ? {} : { uid }) }
}

/** What we look at in a certificate that somebody shows. */
export interface ParsedCertificate {
  readonly subject: ParsedName
  readonly issuer: Uint8Array
  readonly subjectName: Uint8Array
  readonly usages: readonly ('client' | 'server')[]
  /** True when it has no extended key usage: good for everything. */
  readonly anyUsage: boolean
}

export function parseCertificate(der: Uint8Array): ParsedCertificate {
  const [signed] = readAll(readValue(der).content)
  if (signed === undefined) throw new Error('Certificate is empty')
  const fields = readAll(signed.content)
  // The version [0] is optional, and everything moves up without it.
  const at = fields[0]?.tag === 0xa0 ? 1 : 0
  const issuer = fields[at + 2]
  const subject = fields[at + 4]
  if (issuer === undefined || subject === undefined) throw new Error('Certificate has no subject')
  const extended = extensionOf(
    fields.find(({ tag }) => tag === 0xa3)?.content,
    OID.extendedKeyUsage,
  )
  const purposes =
    extended === undefined ? [] : readAll(readValue(extended).content).map(readObjectIdentifier)
  return {
    subject: readName(subject.raw),
    issuer: issuer.raw,
    subjectName: subject.raw,
    usages: (['client', 'server'] as const).filter((use) => purposes.includes(EXTENDED_USAGE[use])),
    anyUsage: extended === undefined,
  }
}

function extensionOf(list: Uint8Array | undefined, oid: string): Uint8Array | undefined {
  if (list === undefined) return undefined
  for (const extension of readAll(readValue(list).content)) {
    const parts = readAll(extension.content)
    if (parts[0] && readObjectIdentifier(parts[0]) === oid) return parts.at(-1)?.content
  }
  return undefined
}

export interface CertificateTemplate {
  readonly subject: Subject
  readonly publicKey: KeyObject
  readonly notBefore: Date
  readonly notAfter: Date
  /** 16 random bytes. */
  readonly serial: Uint8Array
  readonly authority?: boolean
  readonly usages?: readonly ('client' | 'server')[]
  readonly names?: readonly string[]
  readonly addresses?: readonly string[]
}

/** Who signs: the authority's certificate and key, or the key alone for a certificate that signs itself. */
export interface Signer {
  readonly certificate?: Uint8Array
  readonly key: KeyObject
}

/** Makes the certificate; the answer is DER. */
export function issueCertificate(template: CertificateTemplate, signer: Signer): Uint8Array {
  const algorithm = sequence(objectIdentifier(OID.ecdsaWithSha256))
  const publicKey = template.publicKey.export({ format: 'der', type: 'spki' })
  const issuer =
    signer.certificate === undefined
      ? encodeName(template.subject)
      : parseCertificate(signer.certificate).subjectName
  const serial = Buffer.from(template.serial)
  serial[0] = (serial[0]! & 0x7f) | 0x40
  const body = sequence(
    tagged(0, integer(Buffer.of(2))),
    integer(serial),
    algorithm,
    issuer,
    sequence(time(template.notBefore), time(template.notAfter)),
    encodeName(template.subject),
    publicKey,
    tagged(3, sequence(...extensions(template, publicKey, signer))),
  )
  return sequence(body, algorithm, bitString(sign('sha256', body, signer.key)))
}

function extensions(
  template: CertificateTemplate,
  publicKey: Uint8Array,
  signer: Signer,
): readonly Uint8Array[] {
  const { authority = false, usages = [], names = [], addresses = [] } = template
  const signerKey = createPublicKey(signer.key).export({ format: 'der', type: 'spki' })
  const alternatives = [
    ...names.map((name) => taggedBytes(2, Buffer.from(name, 'latin1'))),
    ...addresses.flatMap((address) => {
      const bytes = addressBytes(address)
      return bytes === undefined ? [] : [taggedBytes(7, bytes)]
    }),
  ]
  return [
    extension(OID.basicConstraints, authority ? sequence(boolean(true)) : sequence(), true),
    // Bits from the left: digitalSignature 0, keyEncipherment 2, keyCertSign 5, cRLSign 6.
    extension(
      OID.keyUsage,
      authority ? bitString(Buffer.of(0xa6), 1) : bitString(Buffer.of(0xa0), 5),
      true,
    ),
    ...(usages.length === 0
      ? []
      : [
          extension(
            OID.extendedKeyUsage,
            sequence(...usages.map((use) => objectIdentifier(EXTENDED_USAGE[use]))),
          ),
        ]),
    extension(OID.subjectKeyId, octetString(keyId(publicKey))),
    extension(OID.authorityKeyId, sequence(taggedBytes(0, keyId(signerKey)))),
    ...(alternatives.length === 0
      ? []
      : [extension(OID.alternativeNames, sequence(...alternatives))]),
  ]
}

const extension = (oid: string, value: Uint8Array, critical = false): Uint8Array =>
  sequence(objectIdentifier(oid), ...(critical ? [boolean(true)] : []), octetString(value))

const keyId = (publicKey: Uint8Array): Uint8Array =>
  createHash('sha256').update(publicKey).digest().subarray(0, 20)

const REQUEST_LABEL = 'CERTIFICATE REQUEST'
const EXTENSION_REQUEST = '1.2.840.113549.1.9.14'

export interface CertificateRequest {
  readonly subject: ParsedName
  readonly publicKey: KeyObject
  readonly names: readonly string[]
  readonly addresses: readonly Uint8Array[]
  readonly emails: readonly string[]
  readonly uris: readonly string[]
  /** What the signature covers, and the signature itself: `verify('sha256', …)`. */
  readonly signed: Uint8Array
  readonly signature: Uint8Array
  readonly signatureAlgorithm: string
}

/** Reads a PKCS#10 request (RFC 2986); throws with a reason when it is not one. */
export function parseRequest(text: string): CertificateRequest {
  const der = pemBytes(REQUEST_LABEL, text)
  if (der === undefined)
    throw new Error('PEM block type must be CERTIFICATE REQUEST, and there is no such block')
  const [info, algorithm, signature] = readAll(readValue(der).content)
  if (info === undefined || algorithm === undefined || signature === undefined)
    throw new Error('Certificate request is not complete')
  const [, subject, publicKey, attributes] = readAll(info.content)
  if (subject === undefined || publicKey === undefined)
    throw new Error('Certificate request has no subject')
  const alternatives = readAll(requestedNames(attributes?.content))
  const [type] = readAll(algorithm.content)
  return {
    subject: readName(subject.raw),
    publicKey: createPublicKey({ key: Buffer.from(publicKey.raw), format: 'der', type: 'spki' }),
    names: alternatives.filter(({ tag }) => tag === 0x82).map(readString),
    addresses: alternatives.filter(({ tag }) => tag === 0x87).map(({ content }) => content),
    emails: alternatives.filter(({ tag }) => tag === 0x81).map(readString),
    uris: alternatives.filter(({ tag }) => tag === 0x86).map(readString),
    signed: info.raw,
    signature: signature.content.subarray(1),
    signatureAlgorithm: type === undefined ? '' : readObjectIdentifier(type),
  }
}

function requestedNames(attributes: Uint8Array | undefined): Uint8Array {
  const none = new Uint8Array()
  if (attributes === undefined) return none
  for (const item of readAll(attributes)) {
    const [type, values] = readAll(item.content)
    if (type === undefined || values === undefined) continue
    if (readObjectIdentifier(type) !== EXTENSION_REQUEST) continue
    const found = extensionOf(values.content, OID.alternativeNames)
    if (found !== undefined) return readValue(found).content
  }
  return none
}

/** A PKCS#10 request as PEM, for a kubelet that asks for its certificate. */
export function createRequest(
  subject: Subject,
  key: KeyObject,
  {
    names = [],
    addresses = [],
  }: { readonly names?: readonly string[]; readonly addresses?: readonly string[] } = {},
): string {
  const alternatives = [
    ...names.map((name) => taggedBytes(2, Buffer.from(name, 'latin1'))),
    ...addresses.flatMap((address) => {
      const bytes = addressBytes(address)
      return bytes === undefined ? [] : [taggedBytes(7, bytes)]
    }),
  ]
  const attributes =
    alternatives.length === 0
      ? []
      : [
          sequence(
            objectIdentifier(EXTENSION_REQUEST),
            setOf(sequence(extension(OID.alternativeNames, sequence(...alternatives)))),
          ),
        ]
  const info = sequence(
    integer(Buffer.of(0)),
    encodeName(subject),
    createPublicKey(key).export({ format: 'der', type: 'spki' }),
    tlv(0xa0, ...attributes),
  )
  const der = sequence(
    info,
    sequence(objectIdentifier(OID.ecdsaWithSha256)),
    bitString(sign('sha256', info, key)),
  )
  return pem(REQUEST_LABEL, der)
}
