/** The two certificates of a node that joins: as a client of the API, and as the server of its kubelet. Both are made anew while it runs. */
import { join } from 'node:path'
import { certificateSigningRequests } from '#api'
import { createRequest, keyPem, newKey, type Credential } from '#apiserver'
import type { Env } from '#base'
import { createClient, httpTransport, type Client, type HttpTransport } from '#client'
import { isUsable, isValid, renewalTime, type WantedCertificate } from './credentials.ts'
import { ClusterError } from './options.ts'
import { until } from './register.ts'

export interface NodeCredentialsOptions {
  readonly env: Env
  /** Where they are kept. */
  readonly folder: string
  readonly server: string
  readonly authority: string
  readonly nodeName: string
  /** Needed the first time, and when the node was away for longer than its certificate lasts. */
  readonly token: string | undefined
  readonly signal: AbortSignal
}

export interface NodeCredentials {
  /** As the node; it goes on with a renewed certificate by itself. */
  readonly client: Client
  current(): Credential
  /** The kubelet's, for these names and addresses; the node must be registered. */
  serving(alternatives: Alternatives): Promise<Credential>
  /** Makes both anew in time, until the signal aborts; calls back with each that is new. */
  keep(onRenewed: (kind: Kind, credential: Credential) => void): void
  close(): void
}

type Kind = 'kubelet-client' | 'kubelet-server'
interface Alternatives {
  readonly names?: readonly string[]
  readonly addresses?: readonly string[]
}

const SIGNERS: Readonly<Record<Kind, readonly [signer: string, usage: string]>> = {
  'kubelet-client': ['kubernetes.io/kube-apiserver-client-kubelet', 'client auth'],
  'kubelet-server': ['kubernetes.io/kubelet-serving', 'server auth'],
}
const LOOK_MS = 3600 * 1000

/** Resolves when the node has a client certificate. */
export async function nodeCredentials(options: NodeCredentialsOptions): Promise<NodeCredentials> {
  const { env, server, authority, token } = options
  const log = env.log.for('cluster')
  const wanted: WantedCertificate = { commonName: `system:node:${options.nodeName}` }
  const found = await read(options, 'kubelet-client')
  const own = await (async () => {
    const now = env.clock.now()
    if (found !== undefined && isUsable(found, wanted, now)) return found
    // One that is old but lasts is known to the cluster, and needs no token.
    const isKnown = found !== undefined && isValid(found, wanted, now)
    if (!isKnown && token === undefined)
      throw new ClusterError(
        found === undefined
          ? 'A node that joins for the first time needs a token'
          : "This node's certificate has expired: it must join again with a token",
        'On the server: navarch token create',
      )
    const transport = httpTransport({
      server,
      authority,
      ...(isKnown ? found : token === undefined ? {} : { token }),
    })
    try {
      return await request(options, createClient(transport), 'kubelet-client', wanted)
    } finally {
      transport.close()
    }
  })()

  const transport: HttpTransport = httpTransport({ server, authority, ...own })
  const client = createClient(transport)
  const held = new Map<Kind, { credential: Credential; wanted: WantedCertificate }>([
    ['kubelet-client', { credential: own, wanted }],
  ])
  return {
    client,
    current: () => held.get('kubelet-client')?.credential ?? own,
    async serving(alternatives) {
      const serving = { ...wanted, ...alternatives }
      const kept = await read(options, 'kubelet-server')
      const credential =
        kept !== undefined && isUsable(kept, serving, env.clock.now())
          ? kept
          : await request(options, client, 'kubelet-server', serving)
      held.set('kubelet-server', { credential, wanted: serving })
      return credential
    },
    keep(onRenewed) {
      const renewDue = async (): Promise<void> => {
        for (const [kind, { credential, wanted: what }] of held) {
          if (renewalTime(credential.certificate) > env.clock.now()) continue
          try {
            const made = await request(options, client, kind, what)
            held.set(kind, { credential: made, wanted: what })
            if (kind === 'kubelet-client') transport.renew(made)
            onRenewed(kind, made)
            log.info('a certificate was made anew', { certificate: kind })
          } catch (error) {
            if (options.signal.aborted) return
            log.error('cannot make a certificate anew; trying again', { certificate: kind, error })
          }
        }
      }
      void (async () => {
        for (;;) {
          // Wall time may jump, as on a laptop that slept: it is looked at now and then.
          await env.clock.sleep(LOOK_MS, options.signal)
          await renewDue()
        }
      })().catch(() => undefined)
    },
    close: () => transport.close(),
  }
}

const filesOf = (folder: string, kind: Kind): readonly [certificate: string, key: string] => [
  join(folder, `${kind}.crt`),
  join(folder, `${kind}.key`),
]

async function read(
  { env, folder }: Pick<NodeCredentialsOptions, 'env' | 'folder'>,
  kind: Kind,
): Promise<Credential | undefined> {
  const [certificate, key] = await Promise.all(
    filesOf(folder, kind).map(async (file) =>
      (await env.fs.stat(file)) === undefined ? undefined : env.fs.readText(file),
    ),
  )
  return certificate === undefined || key === undefined ? undefined : { certificate, key }
}

/** A new key, and the certificate for it that the cluster signs. */
async function request(
  { env, folder, signal }: NodeCredentialsOptions,
  client: Client,
  kind: Kind,
  { commonName, names = [], addresses = [] }: WantedCertificate,
): Promise<Credential> {
  const [signerName, usage] = SIGNERS[kind]
  const key = newKey(env.random)
  const text = await createRequest(
    { commonName, organizations: ['system:nodes'] },
    key,
    kind === 'kubelet-client' ? {} : { names, addresses },
  )
  const made = await client.create(certificateSigningRequests, {
    metadata: { generateName: 'node-csr-' },
    spec: {
      request: Buffer.from(text).toString('base64'),
      signerName,
      usages: ['digital signature', usage as 'client auth'],
    },
  })
  const certificate = await until(
    { ...env, signal },
    'the cluster signs the certificate',
    async () => {
      const { status } = await client.get(certificateSigningRequests, made.metadata)
      const refusal = status?.conditions?.find(({ type }) => type === 'Denied' || type === 'Failed')
      if (refusal !== undefined)
        throw new ClusterError(
          `The cluster refused the certificate of ${commonName}: ${refusal.message ?? refusal.type}`,
        )
      return status?.certificate
    },
  )
  const got = { certificate: Buffer.from(certificate, 'base64').toString('utf8'), key: keyPem(key) }
  const [certificateFile, keyFile] = filesOf(folder, kind)
  await env.fs.write(keyFile, got.key, { mode: 0o600, atomic: true })
  await env.fs.write(certificateFile, got.certificate, { mode: 0o600, atomic: true })
  return got
}
