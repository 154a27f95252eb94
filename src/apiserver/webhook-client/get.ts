/** Documents of other servers, over TLS that is always verified: the keys of an OpenID issuer. */
import { request as httpRequest } from 'node:http'
import type { Env } from '#base'
import { decodeJson, type JsonObject } from '#machinery'
import { isObject } from '../json.ts'
import { SecureAgent } from './agent.ts'

const MAX_BYTES = 1 << 20
const TIMEOUT_MS = 10_000

export interface DocumentAddress {
  readonly url: string
  /** PEM; without it, the authorities that the world trusts. */
  readonly authority?: string | undefined
}

/** The JSON object at the address. Rejects with an Error that says why there is none. */
export async function getDocument(
  env: Pick<Env, 'net' | 'clock'>,
  { url: text, authority }: DocumentAddress,
): Promise<JsonObject> {
  const url = new URL(text)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const agent = new SecureAgent(env, {
    serverName: host,
    authority,
    address: () => ({ host, port: Number(url.port) || 443 }),
  })
  const ended = new AbortController()
  const cancel = env.clock.schedule(TIMEOUT_MS, () =>
    ended.abort(new Error(`${text} did not answer in time`)),
  )
  try {
    const bytes = await new Promise<Buffer>((resolve, reject) => {
      const request = httpRequest(
        {
          agent,
          host,
          path: `${url.pathname}${url.search}`,
          headers: { host: url.host, accept: 'application/json' },
          signal: ended.signal,
        },
        (answer) => {
          const parts: Buffer[] = []
          let size = 0
          answer.on('data', (part: Buffer) => {
            size += part.length
            if (size > MAX_BYTES) answer.destroy(new Error(`${text} is too long`))
            else parts.push(part)
          })
          answer.on('error', reject)
          answer.on('end', () =>
            answer.statusCode === 200
              ? resolve(Buffer.concat(parts))
              : reject(new Error(`${text} answered ${answer.statusCode}`)),
          )
        },
      )
      request.on('error', reject)
      request.end()
    })
    const { value } = decodeJson(bytes)
    if (!isObject(value)) throw new Error(`${text} is no JSON object`)
    return value
  } finally {
    cancel()
    agent.destroy()
  }
}
