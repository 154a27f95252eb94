/** Answers to questions about the node. */
import type { NodePage } from '#client'

export const text = (
  body: string,
  contentType = 'text/plain; charset=utf-8',
  status = 200,
): NodePage => ({ status, contentType, body: Buffer.from(body) })

export const json = (value: unknown): NodePage => text(JSON.stringify(value), 'application/json')

/** Elsewhere; the address is relative to the page's. */
export const moved = (location: string): NodePage => ({
  status: 301,
  contentType: 'text/plain; charset=utf-8',
  body: new Uint8Array(),
  headers: { location },
})
