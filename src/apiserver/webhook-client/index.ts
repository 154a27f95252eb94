/** How the API server asks webhooks: admission and conversion, by URL or by Service, over TLS that is always verified. */
import { posix } from 'node:path'
import { request as httpRequest, type Agent, type IncomingMessage } from 'node:http'
import type { WebhookClientConfig } from '#api'
import type { Env } from '#base'
import { decodeJson, type JsonObject } from '#machinery'
import { isObject } from '../json.ts'
import type { Reader } from '../inside.ts'
import { SecureAgent, type SecureTarget } from './agent.ts'
import { failureText, responseText } from './errors.ts'
import { serviceEndpoint } from './service-endpoint.ts'

export interface WebhookCall {
  readonly timeoutMs: number
  /** Ends the call when the request that caused it has ended. */
  readonly signal?: AbortSignal
  /** Who the API server is to the webhook, for those that ask. */
  readonly credentials?: WebhookCredentials
  /** The trace that it belongs to (W3C Trace Context). */
  readonly traceparent?: string
  /** The code of the answer is all that counts: its body may be anything. */
  readonly withoutAnswer?: boolean
}

export interface WebhookCredentials {
  readonly certificate?: string
  readonly key?: string
  readonly token?: string
}

/** Sends a review to a webhook; the answer is the object of its body. Rejects with a `WebhookCallError`. */
export type CallWebhook = (
  config: WebhookClientConfig,
  body: JsonObject,
  options: WebhookCall,
) => Promise<JsonObject>

/** Why a webhook gave no answer, in the words that follow `failed to call webhook: `. */
export class WebhookCallError extends Error {}

export interface WebhookClientOptions {
  readonly env: Pick<Env, 'clock' | 'net' | 'random'>
  readonly read: Pick<Reader, 'get' | 'list'>
}

export interface WebhookClient {
  readonly call: CallWebhook
  /** Closes the connections that wait for the next call. */
  close(): void
}

/** A review is at most an object and its old state, and the answer a patch of it: more is a mistake. */
const MAX_ANSWER_BYTES = 16 << 20
/** Webhooks with connections kept open: the one that was used longest ago is dropped. */
const MAX_POOLS = 128

interface Target extends SecureTarget {
  readonly url: URL
  /** As messages show it. */
  readonly shown: string
  readonly credentials: WebhookCredentials
  readonly traceparent: string | undefined
}

/** Calls webhooks at an address or behind a Service, over connections that are kept. */
export function createWebhookClient({ env, read }: WebhookClientOptions): WebhookClient {
  const pools = new Map<string, Agent>()

  const poolOf = (target: Target): Agent => {
    const key = [
      target.url.host,
      target.serverName,
      target.authority ?? '',
      target.credentials.certificate ?? '',
    ].join(' ')
    const found = pools.get(key)
    const agent = found ?? new SecureAgent(env, target)
    // Again at the end: the first one is the one that was used longest ago.
    pools.delete(key)
    pools.set(key, agent)
    if (pools.size > MAX_POOLS) {
      const [oldest] = pools.entries()
      if (oldest !== undefined) {
        pools.delete(oldest[0])
        oldest[1].destroy()
      }
    }
    return agent
  }

  return {
    async call(config, body, options) {
      const { timeoutMs, signal, credentials = {}, withoutAnswer = false, traceparent } = options
      const target = { ...targetOf(read, env, config, timeoutMs), credentials, traceparent }
      const ended = new AbortController()
      const cancel = env.clock.schedule(timeoutMs, () => ended.abort(new DeadlineError()))
      const all = signal === undefined ? ended.signal : AbortSignal.any([ended.signal, signal])
      const text = Buffer.from(JSON.stringify(body))
      try {
        const { status, bytes } = await post(poolOf(target), target, text, all)
        return withoutAnswer && status >= 200 && status < 300 ? {} : answerOf(status, bytes)
      } catch (error) {
        if (error instanceof WebhookCallError) throw error
        if (ended.signal.aborted)
          throw new WebhookCallError(
            `Post ${JSON.stringify(target.shown)}: context deadline exceeded`,
          )
        if (signal?.aborted === true)
          throw new WebhookCallError(`Post ${JSON.stringify(target.shown)}: context canceled`)
        throw new WebhookCallError(
          `Post ${JSON.stringify(target.shown)}: ${failureText(error, target.serverName)}`,
        )
      } finally {
        cancel()
      }
    },
    close() {
      for (const agent of pools.values()) agent.destroy()
      pools.clear()
    },
  }
}

class DeadlineError extends Error {}

function targetOf(
  read: Pick<Reader, 'get' | 'list'>,
  { random }: Pick<Env, 'random'>,
  { url, service, caBundle }: WebhookClientConfig,
  timeoutMs: number,
): Omit<Target, 'credentials' | 'traceparent'> {
  const authority =
    caBundle === undefined || caBundle === ''
      ? undefined
      : Buffer.from(caBundle, 'base64').toString('utf8')
  const timeout = `timeout=${Math.ceil(timeoutMs / 1000)}s`
  if (service !== undefined) {
    const { namespace, name, path = '', port = 443 } = service
    const serverName = `${name}.${namespace}.svc`
    const at = `${cleanPath(path)}?${timeout}`
    return {
      url: new URL(`https://${serverName}:${port}${at}`),
      shown: `https://${serverName}:${port}${at}`,
      serverName,
      authority,
      address: () => serviceEndpoint(read, random, { namespace, name, port }),
    }
  }
  let parsed: URL
  try {
    parsed = new URL(url ?? '')
  } catch {
    throw new WebhookCallError(`parse ${JSON.stringify(url ?? '')}: invalid URL`)
  }
  const host = parsed.hostname.replace(/^\[|\]$/g, '')
  parsed.pathname = cleanPath(parsed.pathname)
  parsed.search = `?${timeout}`
  return {
    url: parsed,
    shown: parsed.href,
    serverName: host,
    authority,
    address: () => ({ host, port: Number(parsed.port) || 443 }),
  }
}

/** Begins with a slash, has no double ones, and ends with none: servers send others elsewhere. */
const cleanPath = (path: string): string => posix.join('/', path).replace(/(?<=.)\/$/, '')

interface Received {
  readonly status: number
  readonly bytes: Buffer
}

/** A connection that was kept may have been closed by the other side just now: such a call begins once more. */
async function post(
  agent: Agent,
  target: Target,
  body: Buffer,
  signal: AbortSignal,
): Promise<Received> {
  const first = await attempt(agent, target, body, signal)
  if (first !== 'stale') return first
  const second = await attempt(agent, target, body, signal)
  if (second === 'stale') throw new Error('EOF')
  return second
}

function attempt(
  agent: Agent,
  { url, credentials: { token }, traceparent }: Target,
  body: Buffer,
  signal: AbortSignal,
): Promise<Received | 'stale'> {
  return new Promise((resolve, reject) => {
    const ended = (): void => {
      reject(signal.reason as Error)
      outgoing.destroy()
    }
    const outgoing = httpRequest({
      agent,
      method: 'POST',
      host: url.hostname,
      port: url.port === '' ? 443 : url.port,
      path: `${url.pathname}${url.search}`,
      headers: {
        host: url.host,
        accept: 'application/json, */*',
        'content-type': 'application/json',
        'content-length': body.length,
        'user-agent': 'kube-apiserver-admission',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(traceparent === undefined ? {} : { traceparent }),
      },
    })
    if (signal.aborted) {
      ended()
      outgoing.on('error', () => undefined)
      return
    }
    signal.addEventListener('abort', ended, { once: true })
    outgoing.on('close', () => signal.removeEventListener('abort', ended))
    outgoing.on('error', (error: NodeJS.ErrnoException) => {
      const isStale =
        outgoing.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE')
      if (isStale) resolve('stale')
      else reject(error)
    })
    outgoing.on('response', (response) => {
      readAnswer(response).then(
        (bytes) => resolve({ status: response.statusCode ?? 0, bytes }),
        (error: unknown) => {
          outgoing.destroy()
          reject(error as Error)
        },
      )
    })
    outgoing.end(body)
  })
}

async function readAnswer(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > MAX_ANSWER_BYTES)
      throw new WebhookCallError(`the response is larger than ${MAX_ANSWER_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function answerOf(status: number, bytes: Buffer): JsonObject {
  const text = bytes.toString('utf8')
  let value: unknown
  try {
    ;({ value } = decodeJson(bytes, { duplicates: false }))
  } catch {
    value = undefined
  }
  if (status < 200 || status > 206)
    throw new WebhookCallError(
      isObject(value) && value['kind'] === 'Status' && typeof value['message'] === 'string'
        ? value['message']
        : responseText(status, text),
    )
  if (!isObject(value))
    throw new WebhookCallError(
      `couldn't get version/kind; json parse error: the response is not a JSON object: ${JSON.stringify(text.slice(0, 200))}`,
    )
  return value
}
