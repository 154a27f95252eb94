/** Certificates of servers that a bundle vouches for, although the TLS library finds no chain to it. */
import { X509Certificate } from 'node:crypto'

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const ANY_USAGE = '2.5.29.37.0'
/** How the extension of name constraints (2.5.29.30) begins in DER. */
const NAME_CONSTRAINTS = Buffer.from([0x06, 0x03, 0x55, 0x1d, 0x1e])

/**
 * Whether one certificate of the bundle signed this one, directly. Kubernetes looks at who is named as issuer and at the
 * signature, and at nothing else of whom it trusts. OpenSSL also takes a certificate whose subject is its issuer for one
 * that signed itself: some tools leave both names empty, and their webhooks would never be asked. Whatever else is to be
 * judged of either certificate (names of the server aside) is judged here as strictly, or more.
 */
export function vouchedFor(certificate: X509Certificate, bundle: string, now: Date): boolean {
  if (!servesNow(certificate, now) || isWeak(certificate)) return false
  return certificatesOf(bundle).some(
    (authority) =>
      authority.ca &&
      servesNow(authority, now) &&
      !authority.raw.includes(NAME_CONSTRAINTS) &&
      certificate.checkIssued(authority) &&
      certificate.verify(authority.publicKey),
  )
}

function servesNow({ validFromDate, validToDate, keyUsage }: X509Certificate, now: Date): boolean {
  // As typed, it is always there; a certificate without the extension has none.
  const usages = keyUsage as readonly string[] | undefined
  return (
    validFromDate <= now &&
    now <= validToDate &&
    (usages === undefined || usages.includes(SERVER_AUTH) || usages.includes(ANY_USAGE))
  )
}

/** Digests that are no longer good for signatures; what cannot be told is not good either. */
function isWeak({ signatureAlgorithm }: X509Certificate): boolean {
  return signatureAlgorithm === undefined || /md\d|sha-?1(?!\d)/i.test(signatureAlgorithm)
}

function certificatesOf(bundle: string): X509Certificate[] {
  const blocks = bundle.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  return blocks.flatMap((block) => {
    try {
      return [new X509Certificate(block)]
    } catch {
      return []
    }
  })
}
