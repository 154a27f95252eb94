/** Where a listing in pages goes on: an opaque text for the client. */
import { StatusError, badRequest, jsonSyntaxError } from '#machinery'

export interface ContinueToken {
  /** The revision that all pages show; 0 for one that goes on at the newest state. */
  readonly revision: number
  /** The last key of the page before, below the resource's prefix. */
  readonly after: string
  /** Objects after that key at the revision; absent when selectors make it unknown. */
  readonly remaining?: number
  /** When the listing began, in milliseconds since 1970. */
  readonly began: number
}

const VERSION = 'navarch/v1'

export const encodeContinue = (token: ContinueToken): string =>
  Buffer.from(
    JSON.stringify({
      v: VERSION,
      rv: token.revision,
      after: token.after,
      began: token.began,
      ...(token.remaining === undefined ? {} : { left: token.remaining }),
    }),
  ).toString('base64url')

export function decodeContinue(text: string): ContinueToken {
  const corrupt = corruptByte(text)
  if (corrupt !== undefined) throw malformed(`: illegal base64 data at input byte ${corrupt}`)
  const decoded = Buffer.from(text, 'base64url').toString()
  let found: unknown
  try {
    found = JSON.parse(decoded)
  } catch {
    throw malformed(`: ${jsonSyntaxError(decoded)}`)
  }
  const { v = '', rv, after, left, began } = (found ?? {}) as Record<string, unknown>
  if (v !== VERSION)
    throw malformed(`: server does not recognize this encoded version ${String(v)}`)
  if (
    typeof rv !== 'number' ||
    !Number.isSafeInteger(rv) ||
    rv < 0 ||
    typeof after !== 'string' ||
    typeof began !== 'number'
  )
    throw malformed(': it is incomplete')
  return {
    revision: rv,
    after,
    began,
    ...(typeof left === 'number' && left >= 0 ? { remaining: left } : {}),
  }
}

const malformed = (why: string): StatusError =>
  badRequest(`invalid continue token: continue key is not valid${why}`)

/** Where Go's decoder stops; undefined when the text is base64 as URLs carry it. */
function corruptByte(text: string): number | undefined {
  const at = text.search(/[^A-Za-z0-9_\-\r\n]/)
  if (at >= 0) return at
  const characters = text.replaceAll(/[\r\n]/g, '')
  return characters.length % 4 === 1 ? text.length - 1 : undefined
}

/** 410 that carries a token to go on with at the newest state, for clients that prefer that to starting again. */
export const continueExpired = (token: ContinueToken): StatusError =>
  new StatusError(
    'Expired',
    'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.',
    {
      metadata: { continue: encodeContinue({ revision: 0, after: token.after, began: 0 }) },
    },
  )
