/** What is looked at in a certificate that somebody shows: Node reads it, for this is asked of every connection. */
import { X509Certificate } from 'node:crypto'

/** A user's uid in a client certificate, since 1.33. */
const UID = '1.3.6.1.4.1.57683.2'
const EXTENDED_USAGE = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2' } as const

export interface ParsedName {
  readonly commonName: string
  readonly organizations: readonly string[]
  readonly uid?: string
}

/** What a certificate says of who has it. */
export interface ParsedCertificate {
  readonly subject: ParsedName
  readonly usages: readonly ('client' | 'server')[]
  /** True when it has no extended key usage: good for everything. */
  readonly anyUsage: boolean
}

/** Throws for what is no certificate. */
export function parseCertificate(der: Uint8Array | X509Certificate): ParsedCertificate {
  const certificate = der instanceof X509Certificate ? der : new X509Certificate(der)
  // A name that occurs several times is a list; the last common name counts, as in Go.
  const names = (certificate.toLegacyObject().subject ?? {}) as Readonly<
    Record<string, string | readonly string[] | undefined>
  >
  const all = (name: string): readonly string[] => [names[name] ?? []].flat()
  const uid = all(UID).at(-1)
  const purposes = certificate.keyUsage as readonly string[] | undefined
  return {
    subject: {
      commonName: all('CN').at(-1) ?? '',
      organizations: all('O'),
      ...(uid === undefined ? {} : { uid }),
    },
    usages: (['client', 'server'] as const).filter((use) =>
      purposes?.includes(EXTENDED_USAGE[use]),
    ),
    anyUsage: purposes === undefined || purposes.length === 0,
  }
}
