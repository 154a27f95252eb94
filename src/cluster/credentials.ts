/** Certificates that a node keeps in its folder: whether they still serve, and when new ones are due. */
import { createPublicKey, X509Certificate } from 'node:crypto'
import type { Credential } from '#apiserver'

/** A certificate is made anew when this part of its life is left: 90 days of a year. */
const RENEW_AT_FRACTION_LEFT = 0.25

export interface WantedCertificate {
  readonly commonName: string
  /** It must be signed by this one; not looked at when absent. */
  readonly authority?: Pick<Credential, 'certificate'>
  readonly names?: readonly string[]
  readonly addresses?: readonly string[]
}

/** When a certificate, PEM, should be made anew. */
export function renewalTime(certificate: string): Date {
  const { validFromDate, validToDate } = new X509Certificate(certificate)
  const life = validToDate.getTime() - validFromDate.getTime()
  return new Date(validToDate.getTime() - RENEW_AT_FRACTION_LEFT * life)
}

/** Whether it is for what is wanted, has its own key, and is not due for renewal. */
export const isUsable = (found: Credential, wanted: WantedCertificate, now: Date): boolean =>
  isFor(found, wanted) && renewalTime(found.certificate) > now

/** Whether others still accept it, though it may be due for renewal. */
export const isValid = (found: Credential, wanted: WantedCertificate, now: Date): boolean =>
  isFor(found, wanted) && new X509Certificate(found.certificate).validToDate > now

function isFor(
  { certificate, key }: Credential,
  { commonName, authority, names = [], addresses = [] }: WantedCertificate,
): boolean {
  try {
    const parsed = new X509Certificate(certificate)
    return (
      parsed.subject.split('\n').includes(`CN=${commonName}`) &&
      createPublicKey(key).equals(parsed.publicKey) &&
      (authority === undefined ||
        parsed.verify(new X509Certificate(authority.certificate).publicKey)) &&
      names.every((name) => parsed.checkHost(name) !== undefined) &&
      addresses.every((address) => parsed.checkIP(address) !== undefined)
    )
  } catch {
    return false
  }
}
