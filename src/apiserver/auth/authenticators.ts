/** Who is asking: client certificates, front proxies, and the order in which the kinds are tried. */
import { X509Certificate, createHash } from 'node:crypto'
import type { Awaitable, Clock } from '#base'
import type { RequestUser } from '#machinery'
import type { Authenticator, Identity } from '../access.ts'
import { parseCertificate } from '../certificates/index.ts'
import { headerFamily, headerValues, type Exchange } from '../exchange.ts'
import { AUTHENTICATED, anonymous } from './users.ts'

interface Shown {
  readonly user: RequestUser
  readonly from: number
  readonly to: number
  readonly client: boolean
  /** Index of the authority that signed it. */
  readonly signer: number
}

/** Reads each certificate once: sockets hand over the same bytes for every request. */
function certificateReader(authorities: readonly string[]): (der: Uint8Array) => Shown | undefined {
  const known = new WeakMap<Uint8Array, Shown | { readonly signer: -1 }>()
  const signers = authorities.map((text) => new X509Certificate(text))
  const read = (der: Uint8Array): Shown | undefined => {
    const certificate = new X509Certificate(der)
    const signer = signers.findIndex(
      (authority) => certificate.checkIssued(authority) && certificate.verify(authority.publicKey),
    )
    if (signer < 0) return undefined
    const { subject, usages, anyUsage } = parseCertificate(der)
    const digest = createHash('sha256').update(der).digest('hex')
    return {
      user: {
        name: subject.commonName,
        ...(subject.uid === undefined ? {} : { uid: subject.uid }),
        groups: subject.organizations,
        extra: { 'authentication.kubernetes.io/credential-id': [`X509SHA256=${digest}`] },
      },
      from: certificate.validFromDate.getTime(),
      to: certificate.validToDate.getTime(),
      client: anyUsage || usages.includes('client'),
      signer,
    }
  }
  return (der) => {
    const found = known.get(der)
    if (found !== undefined) return found.signer < 0 ? undefined : (found as Shown)
    const shown = read(der)
    known.set(der, shown ?? { signer: -1 })
    return shown
  }
}

export interface CertificateOptions {
  /** PEM. */
  readonly authorities: readonly string[]
  readonly clock: Pick<Clock, 'now'>
}

function verified(
  read: (der: Uint8Array) => Shown | undefined,
  { clock }: Pick<CertificateOptions, 'clock'>,
  exchange: Exchange,
): Shown | undefined {
  if (exchange.clientCertificate === undefined) return undefined
  const shown = read(exchange.clientCertificate)
  const now = clock.now().getTime()
  return shown?.client && shown.from <= now && now <= shown.to ? shown : undefined
}

/** The common name is the user, organizations are the groups. */
export function certificateAuthenticator(options: CertificateOptions): Authenticator {
  const read = certificateReader(options.authorities)
  return {
    authenticate(exchange) {
      const shown = verified(read, options, exchange)
      return shown === undefined || shown.user.name === '' ? undefined : { user: shown.user }
    },
  }
}

/** A front proxy speaks for users: it shows its own certificate and says in headers who they are. */
export function frontProxyAuthenticator(
  options: CertificateOptions & {
    /** Common names that may; empty for any that the authority signed. */
    readonly names: readonly string[]
  },
): Authenticator {
  const read = certificateReader(options.authorities)
  return {
    authenticate(exchange) {
      const [name] = headerValues(exchange, 'x-remote-user')
      if (name === undefined || name === '') return undefined
      const shown = verified(read, options, exchange)
      if (shown === undefined) return undefined
      if (options.names.length > 0 && !options.names.includes(shown.user.name)) return undefined
      const [uid] = headerValues(exchange, 'x-remote-uid')
      return {
        user: {
          name,
          ...(uid ? { uid } : {}),
          groups: headerValues(exchange, 'x-remote-group'),
          extra: headerFamily(exchange, 'x-remote-extra-'),
        },
      }
    },
  }
}

/** Asks one after another. Who is known belongs to `system:authenticated`; who shows nothing is anonymous, when that is allowed. */
export const unionAuthenticator = (
  kinds: readonly Authenticator[],
  {
    allowAnonymous = true,
    anonymousPaths,
  }: { readonly allowAnonymous?: boolean; readonly anonymousPaths?: readonly string[] } = {},
): Authenticator => {
  const unknown = (exchange: Exchange, refusal: unknown): Identity | undefined => {
    if (refusal !== undefined) throw refusal
    const isAllowed = allowAnonymous && (anonymousPaths?.includes(exchange.path) ?? true)
    return isAllowed ? { user: anonymous } : undefined
  }
  /** The answer of one kind that has to wait, and then the others'. */
  const later = async (
    exchange: Exchange,
    running: Awaitable<Identity | undefined>,
    others: readonly Authenticator[],
    before: unknown,
  ): Promise<Identity | undefined> => {
    let refusal = before
    try {
      const found = await running
      if (found !== undefined) return known(found)
    } catch (error) {
      refusal ??= error
    }
    return ask(exchange, others, refusal)
  }
  const ask = (
    exchange: Exchange,
    asked: readonly Authenticator[],
    before: unknown,
  ): Awaitable<Identity | undefined> => {
    let refusal = before
    for (const [at, kind] of asked.entries()) {
      try {
        const found = kind.authenticate(exchange)
        if (found instanceof Promise) return later(exchange, found, asked.slice(at + 1), refusal)
        if (found !== undefined) return known(found)
      } catch (error) {
        refusal ??= error
      }
    }
    return unknown(exchange, refusal)
  }
  return { authenticate: (exchange) => ask(exchange, kinds, undefined) }
}

const known = (found: Identity): Identity => ({ ...found, user: authenticated(found.user) })

const withGroup = new WeakMap<RequestUser, RequestUser>()
/** The same user object gives the same answer, so that what is cached by user stays cached. */
export function authenticated(user: RequestUser): RequestUser {
  if (user.groups.includes(AUTHENTICATED)) return user
  let made = withGroup.get(user)
  if (made === undefined) {
    made = { ...user, groups: [...user.groups, AUTHENTICATED] }
    withGroup.set(user, made)
  }
  return made
}
