/** Private keys on P-256, the only kind that Navarch makes. */
import { createECDH, createPrivateKey } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { Random } from '#base'

/** Certificate and private key, both PEM. */
export interface Credential {
  readonly certificate: string
  readonly key: string
}

/** A private key made from the environment's own randomness, so that one seed gives one key. */
export function newKey({ bytes }: Pick<Random, 'bytes'>): KeyObject {
  const curve = createECDH('prime256v1')
  for (;;) {
    const scalar = bytes(32)
    try {
      curve.setPrivateKey(scalar)
    } catch {
      continue // Zero, or not below the order of the curve: one chance in 2^32.
    }
    const point = curve.getPublicKey()
    return createPrivateKey({
      format: 'jwk',
      key: {
        kty: 'EC',
        crv: 'P-256',
        d: Buffer.from(scalar).toString('base64url'),
        x: point.subarray(1, 33).toString('base64url'),
        y: point.subarray(33).toString('base64url'),
      },
    })
  }
}

/** The private key as PKCS #8 in PEM. */
export const keyPem = (key: KeyObject): string =>
  key.export({ format: 'pem', type: key.asymmetricKeyType === 'ec' ? 'sec1' : 'pkcs8' }).toString()
