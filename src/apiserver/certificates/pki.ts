/** The cluster's own authority, and the certificates and keys that it begins with. */
import { X509Certificate, createPrivateKey } from 'node:crypto'
import type { Env } from '#base'
import {
  issueCertificate,
  publicKeyBytes,
  readRequest,
  type Signer,
  type Subject,
} from './issue.ts'
import { keyPem, newKey, type Credential } from './keys.ts'
import { retiredKeys } from './rotate.ts'

const DAY_MS = 24 * 3600 * 1000
const AUTHORITY_DAYS = 3650
const LEAF_DAYS = 365
/** A certificate with less than this left is made anew at the next start. */
const RENEW_DAYS = 90
/** Clocks of nodes that join may be a little behind. */
const BACKDATE_MS = 5 * 60 * 1000

/** By which names and addresses the server is reached. */
export interface PkiOptions {
  /** DNS names of the server beyond the usual ones, for example the host's. */
  readonly names?: readonly string[]
  /** Addresses of the server beyond 127.0.0.1 and ::1: the host's and the first of the service range. */
  readonly ips?: readonly string[]
  /** Default `cluster.local`. */
  readonly clusterDomain?: string
}

/** Whom a certificate is for, and what it is good for. */
export interface LeafOptions {
  readonly subject: Subject
  readonly usages: readonly ('client' | 'server')[]
  readonly names?: readonly string[]
  readonly addresses?: readonly string[]
  /** Default a year; never longer than the authority lasts. */
  readonly seconds?: number
}

/** What signs: all that a cluster without a listener needs. */
export interface Authorities {
  /** Signs clients and servers of this cluster. */
  readonly authority: Credential
  /** Signs the proxies that may speak for other users (aggregation). */
  readonly frontProxyAuthority: Credential
  /** What the server shows to extension API servers. */
  readonly frontProxyClient: Credential
  /** PEM of the P-256 key that signs service account tokens. */
  readonly serviceAccountKey: string
  /** PEM of public keys that signed before: their tokens are good for a while yet. */
  readonly retiredServiceAccountKeys: readonly string[]
  /** A new key and its certificate. */
  issue(options: LeafOptions): Promise<Credential>
  /** The certificate, PEM, for a PKCS#10 request; the caller has decided that it may have it. Fails when the request is not signed by its own key. */
  sign(
    requestPem: string,
    options: { readonly usages: readonly ('client' | 'server')[]; readonly seconds?: number },
  ): Promise<string>
}

/** The authorities of a cluster, and what they issue. */
export interface Pki extends Authorities {
  readonly server: Credential
  /** `kubernetes-admin` in `system:masters`. */
  readonly admin: Credential
  /** What the server shows to kubelets. */
  readonly kubeletClient: Credential
  /** When the first of the leaf certificates should be made anew: `ensurePki` again does it. */
  readonly renewAt: Date
}

type PkiEnv = Pick<Env, 'fs' | 'clock' | 'random'>

/** Loads what is in the folder, and makes what is missing, worn, or does not fit. Files are for the owner's eyes only. */
export async function ensurePki(
  env: PkiEnv,
  folder: string,
  { names = [], ips = [], clusterDomain = 'cluster.local' }: PkiOptions = {},
): Promise<Pki> {
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
  const authorities = await authoritiesIn(env, store, folder)
  const { authority, frontProxyClient } = authorities
  const leaf = (name: string, options: LeafOptions): Promise<Credential> =>
    leafIn(env, store, name, authority, options)
  const client = (
    name: string,
    commonName: string,
    organizations: readonly string[],
  ): Promise<Credential> =>
    leaf(name, { subject: { commonName, organizations }, usages: ['client'] })

  const server = await leaf('server', {
    subject: { commonName: 'kube-apiserver' },
    usages: ['server'],
    names: [...new Set(serverNames)],
    addresses: [...new Set(['127.0.0.1', '::1', ...ips])],
  })
  const admin = await client('admin', 'kubernetes-admin', ['system:masters'])
  const kubeletClient = await client('kubelet-client', 'kube-apiserver-kubelet-client', [
    'system:masters',
  ])
  await store.settled()

  const ends = [server, admin, kubeletClient, frontProxyClient].map(({ certificate }) =>
    new X509Certificate(certificate).validToDate.getTime(),
  )
  return {
    ...authorities,
    server,
    admin,
    kubeletClient,
    renewAt: new Date(Math.min(...ends) - RENEW_DAYS * DAY_MS),
  }
}

/** The authorities alone: a cluster in a test's own process shows nobody a certificate. */
export async function ensureAuthorities(env: PkiEnv, folder: string): Promise<Authorities> {
  const store = fileStore(env, folder)
  await store.load()
  const authorities = await authoritiesIn(env, store, folder)
  await store.settled()
  return authorities
}

/** The one in the folder while it is good for what is asked. */
const leafIn = (
  env: PkiEnv,
  store: FileStore,
  name: string,
  signer: Credential,
  options: LeafOptions,
): Promise<Credential> => {
  const now = env.clock.now()
  return store.credential(name, (found) =>
    isFresh(found, signer, now) && covers(found, options)
      ? found
      : issue(env, signer, options, now),
  )
}

async function authoritiesIn(env: PkiEnv, store: FileStore, folder: string): Promise<Authorities> {
  const now = env.clock.now()
  const authority = await store.credential('ca', (found) =>
    isAuthority(found, now) ? found : newAuthority(env, 'kubernetes', now),
  )
  const frontProxyAuthority = await store.credential('front-proxy-ca', (found) =>
    isAuthority(found, now) ? found : newAuthority(env, 'front-proxy-ca', now),
  )
  const frontProxyClient = await leafIn(env, store, 'front-proxy-client', frontProxyAuthority, {
    subject: { commonName: 'front-proxy-client' },
    usages: ['client'],
  })
  const serviceAccountKey = await store.key('service-account', (found) =>
    isKey(found) ? found : keyPem(newKey(env.random)),
  )
  const retired = await retiredKeys(env, folder)
  return {
    authority,
    frontProxyAuthority,
    frontProxyClient,
    serviceAccountKey,
    retiredServiceAccountKeys: retired.map(({ publicKey }) => publicKey),
    issue: (options) => issue(env, authority, options, env.clock.now()),
    sign: (requestPem, options) => signRequest(env, authority, requestPem, options),
  }
}

/** Makes one credential, signed by the authority. */
async function issue(
  { random }: Pick<Env, 'random'>,
  authority: Credential,
  options: LeafOptions,
  now: Date,
): Promise<Credential> {
  const key = newKey(random)
  const certificate = await issueCertificate(
    {
      subject: options.subject,
      publicKey: publicKeyBytes(key),
      usages: options.usages,
      names: options.names ?? [],
      addresses: options.addresses ?? [],
      serial: random.bytes(16),
      ...validity(authority, options.seconds, now),
    },
    signerOf(authority),
  )
  return { certificate, key: keyPem(key) }
}

async function signRequest(
  { random, clock }: Pick<Env, 'random' | 'clock'>,
  authority: Credential,
  requestPem: string,
  options: { readonly usages: readonly ('client' | 'server')[]; readonly seconds?: number },
): Promise<string> {
  const request = await readRequest(requestPem)
  if (!(await request.isSigned()))
    throw new Error('Cannot sign the certificate request: it is not signed by its own key')
  return issueCertificate(
    {
      subject: request.subject,
      publicKey: request.publicKey,
      usages: options.usages,
      names: request.names,
      addresses: request.addresses,
      serial: random.bytes(16),
      ...validity(authority, options.seconds, clock.now()),
    },
    signerOf(authority),
  )
}

function validity(
  { certificate }: Credential,
  seconds: number | undefined,
  now: Date,
): { readonly notBefore: Date; readonly notAfter: Date } {
  const end = now.getTime() + (seconds === undefined ? LEAF_DAYS * DAY_MS : seconds * 1000)
  return {
    notBefore: new Date(now.getTime() - BACKDATE_MS),
    notAfter: new Date(Math.min(end, new X509Certificate(certificate).validToDate.getTime())),
  }
}

async function newAuthority(
  { random }: Pick<Env, 'random'>,
  commonName: string,
  now: Date,
): Promise<Credential> {
  const key = newKey(random)
  const certificate = await issueCertificate(
    {
      subject: { commonName },
      publicKey: publicKeyBytes(key),
      authority: true,
      names: [commonName],
      serial: random.bytes(16),
      notBefore: new Date(now.getTime() - BACKDATE_MS),
      notAfter: new Date(now.getTime() + AUTHORITY_DAYS * DAY_MS),
    },
    { key },
  )
  return { certificate, key: keyPem(key) }
}

const signerOf = ({ certificate, key }: Credential): Required<Signer> => ({
  certificate,
  key: createPrivateKey(key),
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

interface FileStore {
  load(): Promise<void>
  credential(
    name: string,
    make: (found: Credential | undefined) => Credential | Promise<Credential>,
  ): Promise<Credential>
  key(name: string, make: (found: string | undefined) => string): Promise<string>
  settled(): Promise<void>
}

/** The folder's files: read together at first, written only when they change. */
function fileStore({ fs }: Pick<Env, 'fs'>, folder: string): FileStore {
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
      const made = await make(found)
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
