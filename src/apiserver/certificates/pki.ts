/** The cluster's own authority, and the certificates and keys that it begins with. */
import { X509Certificate, createPrivateKey, createPublicKey, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { Env } from '#base'
import { addressText } from './addresses.ts'
import {
  issueCertificate,
  keyPem,
  newKey,
  parseRequest,
  pem,
  type Credential,
  type Subject,
} from './certificate.ts'

const DAY_MS = 24 * 3600 * 1000
const AUTHORITY_DAYS = 3650
const LEAF_DAYS = 365
/** A certificate with less than this left is made anew at the next start. */
const RENEW_DAYS = 90
/** Clocks of nodes that join may be a little behind. */
const BACKDATE_MS = 5 * 60 * 1000

export interface PkiOptions {
  /** DNS names of the server beyond the usual ones, for example the host's. */
  readonly names?: readonly string[]
  /** Addresses of the server beyond 127.0.0.1 and ::1: the host's and the first of the service range. */
  readonly ips?: readonly string[]
  /** Default `cluster.local`. */
  readonly clusterDomain?: string
}

export interface LeafOptions {
  readonly subject: Subject
  readonly usages: readonly ('client' | 'server')[]
  readonly names?: readonly string[]
  readonly addresses?: readonly string[]
  /** Default a year; never longer than the authority lasts. */
  readonly seconds?: number
}

export interface Pki {
  /** Signs clients and servers of this cluster. */
  readonly authority: Credential
  /** Signs the proxies that may speak for other users (aggregation). */
  readonly frontProxyAuthority: Credential
  readonly server: Credential
  /** `kubernetes-admin` in `system:masters`. */
  readonly admin: Credential
  /** What the server shows to extension API servers. */
  readonly frontProxyClient: Credential
  /** What the server shows to kubelets. */
  readonly kubeletClient: Credential
  /** PEM of the P-256 key that signs service account tokens. */
  readonly serviceAccountKey: string
  /** When the first of the leaf certificates should be made anew: `ensurePki` again does it. */
  readonly renewAt: Date
  /** A new key and its certificate. */
  issue(options: LeafOptions): Credential
  /** The certificate, PEM, for a PKCS#10 request; the caller has decided that it may have it. Throws when the request is not signed by its own key. */
  sign(
    requestPem: string,
    options: { readonly usages: readonly ('client' | 'server')[]; readonly seconds?: number },
  ): string
}

type PkiEnv = Pick<Env, 'fs' | 'clock' | 'random'>

/** Loads what is in the folder, and makes what is missing, worn, or does not fit. Files are for the owner's eyes only. */
export async function ensurePki(
  env: PkiEnv,
  folder: string,
  { names = [], ips = [], clusterDomain = 'cluster.local' }: PkiOptions = {},
): Promise<Pki> {
  const now = env.clock.now()
  const serverNames = [
    'localhost',
    'kubernetes',
    'kubernetes.default',
    'kubernetes.default.svc',
    `kubernetes.default.svc.${clusterDomain}`,
    ...names,
  ]
  const store = fileStore(env, folder)
  await store.load()

  const authority = await store.credential('ca', (found) =>
    isAuthority(found, now) ? found : newAuthority(env, 'kubernetes', now),
  )
  const frontProxyAuthority = await store.credential('front-proxy-ca', (found) =>
    isAuthority(found, now) ? found : newAuthority(env, 'front-proxy-ca', now),
  )
  const leaf = (name: string, signer: Credential, options: LeafOptions): Promise<Credential> =>
    store.credential(name, (found) =>
      isFresh(found, signer, now) && covers(found, options)
        ? found
        : issue(env, signer, options, now),
    )
  const client = (
    name: string,
    signer: Credential,
    commonName: string,
    organizations: readonly string[] = [],
  ): Promise<Credential> =>
    leaf(name, signer, { subject: { commonName, organizations }, usages: ['client'] })

  const server = await leaf('server', authority, {
    subject: { commonName: 'kube-apiserver' },
    usages: ['server'],
    names: [...new Set(serverNames)],
    addresses: [...new Set(['127.0.0.1', '::1', ...ips])],
  })
  const admin = await client('admin', authority, 'kubernetes-admin', ['system:masters'])
  const kubeletClient = await client('kubelet-client', authority, 'kube-apiserver-kubelet-client', [
    'system:masters',
  ])
  const frontProxyClient = await client(
    'front-proxy-client',
    frontProxyAuthority,
    'front-proxy-client',
  )
  const serviceAccountKey = await store.key('service-account', (found) =>
    isKey(found) ? found : keyPem(newKey(env.random)),
  )
  await store.settled()

  const ends = [server, admin, kubeletClient, frontProxyClient].map(({ certificate }) =>
    new X509Certificate(certificate).validToDate.getTime(),
  )
  return {
    authority,
    frontProxyAuthority,
    server,
    admin,
    frontProxyClient,
    kubeletClient,
    serviceAccountKey,
    renewAt: new Date(Math.min(...ends) - RENEW_DAYS * DAY_MS),
    issue: (options) => issue(env, authority, options, env.clock.now()),
    sign: (requestPem, options) => signRequest(env, authority, requestPem, options),
  }
}

/** Makes one credential, signed by the authority. */
function issue(
  { random }: Pick<Env, 'random'>,
  authority: Credential,
  options: LeafOptions,
  now: Date,
): Credential {
  const key = newKey(random)
  const signer = signerOf(authority)
  const der = issueCertificate(
    {
      subject: options.subject,
      publicKey: createPublicKey(key),
      usages: options.usages,
      names: options.names ?? [],
      addresses: options.addresses ?? [],
      serial: random.bytes(16),
      ...validity(signer.certificate, options.seconds, now),
    },
    signer,
  )
  return { certificate: pem('CERTIFICATE', der), key: keyPem(key) }
}

function signRequest(
  { random, clock }: Pick<Env, 'random' | 'clock'>,
  authority: Credential,
  requestPem: string,
  options: { readonly usages: readonly ('client' | 'server')[]; readonly seconds?: number },
): string {
  const request = parseRequest(requestPem)
  const digest = SIGNATURE_DIGESTS[request.signatureAlgorithm]
  if (
    digest === undefined ||
    !verify(digest || undefined, request.signed, request.publicKey, request.signature)
  )
    throw new Error('Cannot sign the certificate request: it is not signed by its own key')
  const signer = signerOf(authority)
  const der = issueCertificate(
    {
      subject: request.subject,
      publicKey: request.publicKey,
      usages: options.usages,
      names: request.names,
      addresses: request.addresses.map(addressText),
      serial: random.bytes(16),
      ...validity(signer.certificate, options.seconds, clock.now()),
    },
    signer,
  )
  return pem('CERTIFICATE', der)
}

/** Digests by signature algorithm: ECDSA and RSA with SHA-2, and Ed25519, which has its own. */
const SIGNATURE_DIGESTS: Readonly<Record<string, string>> = {
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
  '1.3.101.112': '',
}

function validity(
  authority: Uint8Array,
  seconds: number | undefined,
  now: Date,
): { readonly notBefore: Date; readonly notAfter: Date } {
  const end = now.getTime() + (seconds === undefined ? LEAF_DAYS * DAY_MS : seconds * 1000)
  return {
    notBefore: new Date(now.getTime() - BACKDATE_MS),
    notAfter: new Date(Math.min(end, new X509Certificate(authority).validToDate.getTime())),
  }
}

function newAuthority({ random }: Pick<Env, 'random'>, commonName: string, now: Date): Credential {
  const key = newKey(random)
  const der = issueCertificate(
    {
      subject: { commonName },
      publicKey: createPublicKey(key),
      authority: true,
      names: [commonName],
      serial: random.bytes(16),
      notBefore: new Date(now.getTime() - BACKDATE_MS),
      notAfter: new Date(now.getTime() + AUTHORITY_DAYS * DAY_MS),
    },
    { key },
  )
  return { certificate: pem('CERTIFICATE', der), key: keyPem(key) }
}

const signerOf = (
  authority: Credential,
): { readonly certificate: Uint8Array; readonly key: KeyObject } => ({
  certificate: new X509Certificate(authority.certificate).raw,
  key: createPrivateKey(authority.key),
})

/** Both halves there, and of one another; undefined otherwise. */
function matched(found: Credential | undefined): X509Certificate | undefined {
  if (found === undefined) return undefined
  try {
    const certificate = new X509Certificate(found.certificate)
    return certificate.checkPrivateKey(createPrivateKey(found.key)) ? certificate : undefined
  } catch {
    return undefined
  }
}

function isAuthority(found: Credential | undefined, now: Date): found is Credential {
  const certificate = matched(found)
  return certificate !== undefined && certificate.ca && certificate.validToDate > now
}

function isFresh(
  found: Credential | undefined,
  authority: Credential,
  now: Date,
): found is Credential {
  const certificate = matched(found)
  return (
    certificate !== undefined &&
    certificate.validToDate.getTime() - now.getTime() > RENEW_DAYS * DAY_MS &&
    certificate.validFromDate <= now &&
    certificate.verify(new X509Certificate(authority.certificate).publicKey)
  )
}

function covers(found: Credential, { names = [], addresses = [] }: LeafOptions): boolean {
  const certificate = new X509Certificate(found.certificate)
  return (
    names.every((name) => certificate.checkHost(name) !== undefined) &&
    addresses.every((address) => certificate.checkIP(address) !== undefined)
  )
}

function isKey(text: string | undefined): text is string {
  try {
    return text !== undefined && createPrivateKey(text).asymmetricKeyType === 'ec'
  } catch {
    return false
  }
}

/** The folder's files: read together at first, written only when they change. */
function fileStore(
  { fs }: Pick<Env, 'fs'>,
  folder: string,
): {
  load(): Promise<void>
  credential(name: string, make: (found: Credential | undefined) => Credential): Promise<Credential>
  key(name: string, make: (found: string | undefined) => string): Promise<string>
  settled(): Promise<void>
} {
  const files = new Map<string, string>()
  const writes: Promise<void>[] = []
  const write = (name: string, text: string): void => {
    if (files.get(name) === text) return
    files.set(name, text)
    writes.push(fs.write(`${folder}/${name}`, text, { mode: 0o600, atomic: true }))
  }
  return {
    async load() {
      await fs.makeFolder(folder, { mode: 0o700 })
      const names = (await fs.list(folder)).filter((name) => /\.(crt|key)$/.test(name))
      const texts = await Promise.all(names.map((name) => fs.readText(`${folder}/${name}`)))
      for (const [i, name] of names.entries()) files.set(name, texts[i] ?? '')
    },
    async credential(name, make) {
      const certificate = files.get(`${name}.crt`)
      const key = files.get(`${name}.key`)
      const found =
        certificate === undefined || key === undefined ? undefined : { certificate, key }
      const made = make(found)
      write(`${name}.crt`, made.certificate)
      write(`${name}.key`, made.key)
      return made
    },
    async key(name, make) {
      const made = make(files.get(`${name}.key`))
      write(`${name}.key`, made)
      return made
    },
    async settled() {
      await Promise.all(writes)
    },
  }
}
