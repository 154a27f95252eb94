/** Service-account tokens for pods: asked for once, kept, and renewed before they end. */
import type { Env } from '#base'
import { type Pod, serviceAccounts } from '#api'
import type { Client } from '#client'
import { namespaceOf, uidOf } from './pod/containers.ts'

interface Token {
  readonly text: string
  readonly expiresMs: number
  /** Milliseconds since 1970, as the token's own times are. */
  readonly renewMs: number
}

const DAY_MS = 86_400_000
/** A renewal that failed is tried again after this. */
const RETRY_MS = 30_000

export class Tokens {
  readonly #client: Client
  readonly #env: Pick<Env, 'clock'>
  readonly #onDue: (podUid: string) => void
  readonly #tokens = new Map<string, Token>()
  readonly #timers = new Map<string, () => void>()

  constructor(client: Client, env: Pick<Env, 'clock'>, onDue: (podUid: string) => void) {
    this.#client = client
    this.#env = env
    this.#onDue = onDue
  }

  /** No more renewals: a timer would keep the program from ending. */
  stop(): void {
    for (const cancel of this.#timers.values()) cancel()
    this.#timers.clear()
  }

  async get(
    pod: Pod,
    audience: string,
    expirationSeconds: number,
    signal: AbortSignal,
  ): Promise<string> {
    const key = `${uidOf(pod)}/${audience}/${expirationSeconds}`
    const known = this.#tokens.get(key)
    const now = this.#env.clock.now().getTime()
    if (known !== undefined && now < known.renewMs) return known.text
    try {
      const fresh = await this.#request(pod, audience, expirationSeconds, signal)
      this.#tokens.set(key, fresh)
      this.#wake(key, uidOf(pod), fresh.renewMs - now)
      return fresh.text
    } catch (error) {
      // The old one is still good for a while.
      if (known === undefined || now >= known.expiresMs) throw error
      this.#wake(key, uidOf(pod), RETRY_MS)
      return known.text
    }
  }

  forget(podUid: string): void {
    for (const [key, cancel] of this.#timers) {
      if (!key.startsWith(`${podUid}/`)) continue
      cancel()
      this.#timers.delete(key)
    }
    for (const key of this.#tokens.keys()) {
      if (key.startsWith(`${podUid}/`)) this.#tokens.delete(key)
    }
  }

  async #request(
    pod: Pod,
    audience: string,
    expirationSeconds: number,
    signal: AbortSignal,
  ): Promise<Token> {
    const askedMs = this.#env.clock.now().getTime()
    const answer = await this.#client.createSubresource(
      serviceAccounts,
      { namespace: namespaceOf(pod), name: pod.spec.serviceAccountName || 'default' },
      'token',
      {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: {
          ...(audience === '' ? {} : { audiences: [audience] }),
          expirationSeconds,
          boundObjectRef: {
            apiVersion: 'v1',
            kind: 'Pod',
            name: pod.metadata.name,
            uid: uidOf(pod),
          },
        },
      },
      { signal },
    )
    const { token = '', expirationTimestamp = '' } = (answer['status'] ?? {}) as {
      token?: string
      expirationTimestamp?: string
    }
    const expiresMs = Date.parse(expirationTimestamp)
    const life = expiresMs - askedMs
    // At four fifths of its life, and at the latest after a day.
    return { text: token, expiresMs, renewMs: askedMs + Math.min(life * 0.8, DAY_MS) }
  }

  #wake(key: string, podUid: string, delayMs: number): void {
    this.#timers.get(key)?.()
    this.#timers.set(
      key,
      this.#env.clock.schedule(Math.max(0, delayMs), () => this.#onDue(podUid)),
    )
  }
}
