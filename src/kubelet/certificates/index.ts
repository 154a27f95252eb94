/**
 * Certificates of pods: the node makes a key, asks for a certificate by a PodCertificateRequest, waits for whoever
 * signs, and asks again for a new key when the answer says so. A signer that refuses is not asked twice.
 */
import type { Env } from '#base'
import { type Pod, type PodCertificateProjection, serviceAccounts } from '#api'
import { type Client, createInformers } from '#client'
import type { KubeObject, ResourceRef } from '#machinery'
import { namespaceOf, uidOf } from '../pod/containers.ts'
import { VolumeError } from '../volumes/payload.ts'
import { makeKeyAndRequest } from './keys.ts'

interface Condition {
  readonly type: string
  readonly status: string
  readonly reason?: string
  readonly message?: string
}

type PodCertificateRequest = KubeObject & {
  readonly spec: Readonly<Record<string, unknown>>
  readonly status?: {
    readonly conditions?: readonly Condition[]
    readonly certificateChain?: string
    readonly beginRefreshAt?: string
    readonly notAfter?: string
  }
}

const podCertificateRequests: ResourceRef<PodCertificateRequest> = {
  group: 'certificates.k8s.io',
  version: 'v1beta1',
  resource: 'podcertificaterequests',
  kind: 'PodCertificateRequest',
  namespaced: true,
}

/** Both PEM. */
export interface PodCredential {
  readonly key: string
  readonly chain: string
}

interface Entry {
  credential: PodCredential | undefined
  /** Milliseconds since 1970. */
  refreshMs: number
  asking: Promise<void> | undefined
  refused: VolumeError | undefined
  stop: AbortController
  cancelTimer: () => void
}

export interface PodCertificatesOptions {
  readonly client: Client
  readonly env: Pick<Env, 'clock' | 'random' | 'log'>
  readonly node: () => { readonly name: string; readonly uid: string }
  /** There is something new for the pod. */
  readonly onChange: (podUid: string) => void
  readonly signal: AbortSignal
}

const DEFAULT_SECONDS = 86_400
/** A renewal that failed is tried again after this. */
const RETRY_MS = 60_000

export class PodCertificates {
  readonly #options: PodCertificatesOptions
  readonly #entries = new Map<string, Entry>()

  constructor(options: PodCertificatesOptions) {
    this.#options = options
  }

  /** Waits for the first; gives the old one while a new one is asked for. */
  async get(
    pod: Pod,
    source: PodCertificateProjection,
    signal: AbortSignal,
  ): Promise<PodCredential> {
    const key = `${uidOf(pod)}/${JSON.stringify(source)}`
    const entry = this.#entries.get(key) ?? newEntry()
    this.#entries.set(key, entry)
    const now = this.#options.env.clock.now().getTime()
    if (entry.refused === undefined && (entry.credential === undefined || now >= entry.refreshMs)) {
      entry.asking ??= this.#ask(pod, source, entry).finally(() => {
        entry.asking = undefined
      })
    }
    if (entry.credential === undefined && entry.asking !== undefined) {
      await Promise.race([entry.asking, ended(signal)])
    }
    signal.throwIfAborted()
    if (entry.credential !== undefined) return entry.credential
    throw entry.refused ?? new VolumeError('the certificate has not been issued yet')
  }

  forget(podUid: string): void {
    for (const [key, entry] of this.#entries) {
      if (!key.startsWith(`${podUid}/`)) continue
      entry.stop.abort()
      entry.cancelTimer()
      this.#entries.delete(key)
    }
  }

  /** No more renewals: a timer would keep the program from ending. */
  stop(): void {
    for (const { cancelTimer } of this.#entries.values()) cancelTimer()
  }

  async #ask(pod: Pod, source: PodCertificateProjection, entry: Entry): Promise<void> {
    const { env, onChange } = this.#options
    const isFirst = entry.credential === undefined
    try {
      const { key, request } = await this.#request(pod, source)
      const { status = {} } = await this.#answered(request, entry)
      const verdict = verdictOf(status.conditions)
      if (verdict?.type !== 'Issued') {
        const { type = 'Failed', reason = '', message = '' } = verdict ?? {}
        throw new VolumeError(
          `PodCertificateRequest "${request.metadata.name}" was ${type === 'Denied' ? 'denied' : 'not fulfilled'}: ${reason}: ${message}`,
        )
      }
      entry.credential = { key, chain: status.certificateChain ?? '' }
      entry.refreshMs = Date.parse(status.beginRefreshAt ?? status.notAfter ?? '')
      const delayMs = Math.max(0, entry.refreshMs - env.clock.now().getTime())
      entry.cancelTimer = env.clock.schedule(delayMs, () => onChange(uidOf(pod)))
      if (!isFirst) onChange(uidOf(pod))
    } catch (error) {
      if (entry.stop.signal.aborted) return
      if (isFirst) {
        if (error instanceof VolumeError) entry.refused = error
        throw error
      }
      env.log.warn('Cannot renew the certificate of a pod', {
        pod: `${namespaceOf(pod)}/${pod.metadata.name}`,
        error: error as Error,
      })
      entry.refreshMs = env.clock.now().getTime() + RETRY_MS
      entry.cancelTimer = env.clock.schedule(RETRY_MS, () => onChange(uidOf(pod)))
    }
  }

  async #request(pod: Pod, source: PodCertificateProjection) {
    const { client, node } = this.#options
    const namespace = namespaceOf(pod)
    const serviceAccountName = pod.spec.serviceAccountName || 'default'
    const { key, request } = await makeKeyAndRequest(source.keyType)
    const account = await client.get(serviceAccounts, { namespace, name: serviceAccountName })
    const { name: nodeName, uid: nodeUID } = node()
    const created = await client.create(podCertificateRequests, {
      metadata: {
        generateName: `req-${pod.metadata.name}-`,
        name: '',
        namespace,
        ownerReferences: [
          { apiVersion: 'v1', kind: 'Pod', name: pod.metadata.name, uid: uidOf(pod) },
        ],
      },
      spec: {
        signerName: source.signerName,
        podName: pod.metadata.name,
        podUID: uidOf(pod),
        serviceAccountName,
        serviceAccountUID: account.metadata.uid ?? '',
        nodeName,
        nodeUID,
        maxExpirationSeconds: source.maxExpirationSeconds ?? DEFAULT_SECONDS,
        stubPKCS10Request: Buffer.from(request).toString('base64'),
        ...(source.userAnnotations === undefined
          ? {}
          : { unverifiedUserAnnotations: source.userAnnotations }),
      },
    })
    return { key, request: created }
  }

  /** The request, once somebody has decided. */
  async #answered(
    { metadata }: PodCertificateRequest,
    entry: Entry,
  ): Promise<PodCertificateRequest> {
    const { client, env, signal } = this.#options
    const watch = new AbortController()
    const informers = createInformers(
      client,
      env,
      AbortSignal.any([signal, entry.stop.signal, watch.signal]),
    )
    const informer = informers.informer(podCertificateRequests, {
      namespace: metadata.namespace ?? '',
      fieldSelector: `metadata.name=${metadata.name}`,
    })
    try {
      const { promise, resolve, reject } = Promise.withResolvers<PodCertificateRequest>()
      informer.synced.catch(reject)
      informer.onChange((now, old) => {
        if (now !== undefined && verdictOf(now.status?.conditions) !== undefined) resolve(now)
        else if (now === undefined && old !== undefined)
          reject(new Error('the request was deleted'))
      })
      return await Promise.race([promise, ended(entry.stop.signal), ended(signal)])
    } finally {
      watch.abort(new Error('the certificate has been decided on'))
    }
  }
}

const newEntry = (): Entry => ({
  credential: undefined,
  refreshMs: 0,
  asking: undefined,
  refused: undefined,
  stop: new AbortController(),
  cancelTimer: () => {},
})

const verdictOf = (conditions: readonly Condition[] = []): Condition | undefined =>
  conditions.find(
    ({ type, status }) => status === 'True' && ['Issued', 'Denied', 'Failed'].includes(type),
  )

const ended = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    const fail = (): void => reject(signal.reason as Error)
    if (signal.aborted) fail()
    else signal.addEventListener('abort', fail, { once: true })
  })
