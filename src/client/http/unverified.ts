/** The one question that is asked before anything is known of a server: what its authority is. */
import * as https from 'node:https'
import { StatusError } from '#machinery'

const TIMEOUT_MS = 10_000
const LIMIT_BYTES = 1 << 20

/**
 * Reads a page from a server whose certificate nobody has verified: what it says must be checked against something that
 * is known from elsewhere, such as the digest of its authority.
 */
export function readUnverified(server: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = https.get(`${server}${path}`, {
      rejectUnauthorized: false,
      agent: false,
      timeout: TIMEOUT_MS,
    })
    request.on('timeout', () => request.destroy(new Error('no answer in time')))
    request.on('error', reject)
    request.on('response', (response) => {
      const chunks: Buffer[] = []
      let size = 0
      response.on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size > LIMIT_BYTES) request.destroy(new Error('its answer is too large'))
        else chunks.push(chunk)
      })
      response.on('error', reject)
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8')
        if (response.statusCode === 200) resolve(text)
        else
          reject(
            new StatusError('', `the server answered ${response.statusCode}`, {
              code: response.statusCode ?? 500,
            }),
          )
      })
    })
  })
}
