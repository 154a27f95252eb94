/**
 * Plain HTTPS to whatever cluster a kubeconfig names: no code of Navarch's, so that the mirrors judge any Kubernetes;
 * but for its protobuf form, when that is asked for.
 */
import { Agent, request as httpsRequest } from 'node:https'
import type { IncomingMessage } from 'node:http'
import { KubeConfig } from '@kubernetes/client-node'
import { jsonOf, PROTOBUF, typedBody } from './protobuf.ts'

export interface Json {
  // Mirrors look into answers freely; a wrong shape fails the assertion that follows.
  // oxlint-disable-next-line typescript/no-explicit-any
  [key: string]: any
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
  readonly json: Json
}

export interface CallOptions {
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly query?: Readonly<Record<string, string | number | boolean>>
}

export interface WatchFrame {
  readonly type: string
  readonly object: Json
}

export interface Api {
  call(method: string, path: string, options?: CallOptions): Promise<Answer>
  /** The answer of a call that must succeed. */
  get(path: string, query?: CallOptions['query']): Promise<Json>
  post(path: string, body: unknown, query?: CallOptions['query']): Promise<Json>
  put(path: string, body: unknown): Promise<Json>
  patch(
    path: string,
    body: unknown,
    type: 'merge' | 'strategic-merge' | 'json' | 'apply',
    query?: CallOptions['query'],
  ): Promise<Json>
  delete(path: string, body?: unknown, query?: CallOptions['query']): Promise<Json>
  /** A watch that collects; `next` waits for the first frame not yet taken that fits. */
  watch(path: string, query?: CallOptions['query']): Promise<Watching>
  readonly server: string
  /** What `--kubeconfig` and `--context` said. */
  readonly config: { readonly file: string | undefined; readonly context: string | undefined }
  close(): void
}

export interface Watching {
  next(what: string, fits: (frame: WatchFrame) => boolean, withinMs?: number): Promise<WatchFrame>
  /** Frames so far, in order. */
  readonly frames: readonly WatchFrame[]
  readonly ended: Promise<void>
  stop(): void
}

const PATCH_TYPES = {
  merge: 'application/merge-patch+json',
  'strategic-merge': 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
  apply: 'application/apply-patch+yaml',
} as const

export async function connect(
  kubeconfig: string | undefined,
  context: string | undefined,
  { isTyped = false }: { readonly isTyped?: boolean } = {},
): Promise<Api> {
  const config = new KubeConfig()
  if (kubeconfig === undefined) config.loadFromDefault()
  else config.loadFromFile(kubeconfig)
  if (context !== undefined) config.setCurrentContext(context)
  const cluster = config.getCurrentCluster()
  if (cluster === null) throw new Error('The kubeconfig names no cluster')
  const tls: {
    ca?: Buffer
    cert?: Buffer
    key?: Buffer
    headers?: Record<string, string>
    rejectUnauthorized?: boolean
  } = {}
  await config.applyToHTTPSOptions(tls as never)
  const agent = new Agent({ keepAlive: true, ...(tls as object) })
  const send = (
    method: string,
    path: string,
    { body, headers = {}, query = {} }: CallOptions,
  ): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const url = new URL(cluster.server + path)
      for (const [key, value] of Object.entries(query)) url.searchParams.set(key, String(value))
      const typed =
        isTyped && typeof body === 'object' && headers['content-type'] === undefined
          ? typedBody(method, url.pathname, body as Json)
          : undefined
      const text =
        typed ??
        (body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body))
      const request = httpsRequest(url, {
        method,
        agent,
        headers: said({
          accept:
            isTyped && query['watch'] === undefined && /^\/apis?\//.test(url.pathname)
              ? `${PROTOBUF}, application/json`
              : 'application/json',
          ...(text === undefined
            ? {}
            : {
                'content-type': typed === undefined ? 'application/json' : PROTOBUF,
                'content-length': String(Buffer.byteLength(text)),
              }),
          ...tls.headers,
          ...headers,
        }),
      })
      request.once('response', resolve)
      request.once('error', reject)
      request.end(text)
    })
  const call = async (method: string, path: string, options: CallOptions = {}): Promise<Answer> => {
    const response = await send(method, path, options)
    const chunks: Buffer[] = []
    for await (const chunk of response) chunks.push(chunk as Buffer)
    const bytes = Buffer.concat(chunks)
    const isProtobuf = response.headers['content-type']?.startsWith(PROTOBUF) === true
    const text = isProtobuf && isTyped ? jsonOf(bytes) : bytes.toString('utf8')
    let json: Json = {}
    try {
      json = JSON.parse(text) as Json
    } catch {
      // Not JSON: `text` has it.
    }
    return { status: response.statusCode ?? 0, headers: response.headers, text, json }
  }
  const must = async (method: string, path: string, options: CallOptions = {}): Promise<Json> => {
    const answer = await call(method, path, options)
    if (answer.status < 200 || answer.status > 299) {
      throw new Error(
        `${method} ${path} answered ${answer.status}: ${answer.json['message'] ?? answer.text.slice(0, 300)}`,
      )
    }
    return answer.json
  }
  const optional = (query: CallOptions['query']): CallOptions =>
    query === undefined ? {} : { query }
  return {
    call,
    server: cluster.server,
    config: { file: kubeconfig, context },
    get: (path, query) => must('GET', path, optional(query)),
    post: (path, body, query) => must('POST', path, { body, ...optional(query) }),
    put: (path, body) => must('PUT', path, { body }),
    patch: (path, body, type, query) =>
      must('PATCH', path, {
        body,
        headers: { 'content-type': PATCH_TYPES[type] },
        ...optional(query),
      }),
    delete: (path, body, query) =>
      must('DELETE', path, { ...(body === undefined ? {} : { body }), ...optional(query) }),
    watch: async (path, query = {}) => {
      const response = await send('GET', path, { query: { watch: true, ...query } })
      if (response.statusCode !== 200) {
        let text = ''
        for await (const chunk of response) text += String(chunk)
        throw new Error(`watch ${path} answered ${response.statusCode}: ${text.slice(0, 300)}`)
      }
      return collect(response)
    },
    close: () => agent.destroy(),
  }
}

/** A header that is empty is not sent at all. */
const said = (headers: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== ''))

function collect(response: IncomingMessage): Watching {
  const frames: WatchFrame[] = []
  let taken = 0
  let wake: () => void = () => undefined
  let text = ''
  const ended = new Promise<void>((resolve) => {
    response.on('close', () => {
      resolve()
      wake()
    })
  })
  response.on('error', () => undefined)
  response.on('data', (chunk: Buffer) => {
    text += chunk.toString('utf8')
    const lines = text.split('\n')
    text = lines.pop() ?? ''
    for (const line of lines) if (line !== '') frames.push(JSON.parse(line) as WatchFrame)
    wake()
  })
  return {
    frames,
    ended,
    stop: () => response.destroy(),
    async next(what, fits, withinMs = 60_000) {
      const deadline = performance.now() + withinMs
      for (;;) {
        for (; taken < frames.length; taken++) {
          const frame = frames[taken]
          if (frame !== undefined && fits(frame)) {
            taken++
            return frame
          }
        }
        const left = deadline - performance.now()
        if (left <= 0) throw new Error(`No watch event within ${withinMs} ms: ${what}`)
        await new Promise<void>((resolve) => {
          const timer = setInterval(resolve, left)
          wake = () => {
            clearInterval(timer)
            resolve()
          }
        }).finally(() => (wake = () => undefined))
      }
    },
  }
}
