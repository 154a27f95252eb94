/** Ciphers of values at rest, in the forms that upstream stores them in, so that either can read the other's. */
import { createCipheriv, createDecipheriv } from 'node:crypto'
import { xsalsa20poly1305 } from '@noble/ciphers/salsa.js'
import type { Random } from '#base'

export interface Cipher {
  /** `k8s:enc:aesgcm:v1:key1:`: how its values begin. */
  readonly prefix: string
  seal(key: string, value: Uint8Array): Uint8Array
  /** `sealed` without the prefix. Throws when it was not sealed so, or for another key. */
  open(key: string, sealed: Uint8Array): Uint8Array
}

const NONCE_BYTES = 12
const TAG_BYTES = 16
const BLOCK_BYTES = 16

interface Secret {
  readonly name: string
  readonly secret: Uint8Array
}

/** AES-GCM with a random nonce; the value's key in the store is authenticated with it. */
export function aesGcm({ name, secret }: Secret, random: Pick<Random, 'bytes'>): Cipher {
  const algorithm = `aes-${(secret.length * 8) as 128 | 192 | 256}-gcm` as const
  return {
    prefix: `k8s:enc:aesgcm:v1:${name}:`,
    seal(key, value) {
      const nonce = random.bytes(NONCE_BYTES)
      const cipher = createCipheriv(algorithm, secret, nonce)
      cipher.setAAD(Buffer.from(key))
      return Buffer.concat([nonce, cipher.update(value), cipher.final(), cipher.getAuthTag()])
    },
    open(key, sealed) {
      if (sealed.length < NONCE_BYTES + TAG_BYTES) throw new Error('the stored value is too short')
      const decipher = createDecipheriv(algorithm, secret, sealed.subarray(0, NONCE_BYTES))
      decipher.setAAD(Buffer.from(key))
      decipher.setAuthTag(sealed.subarray(-TAG_BYTES))
      return Buffer.concat([
        decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)),
        decipher.final(),
      ])
    },
  }
}

/** AES-CBC with PKCS#7 padding: not authenticated, kept for those who come with it. */
export function aesCbc({ name, secret }: Secret, random: Pick<Random, 'bytes'>): Cipher {
  const algorithm = `aes-${(secret.length * 8) as 128 | 192 | 256}-cbc` as const
  return {
    prefix: `k8s:enc:aescbc:v1:${name}:`,
    seal(_key, value) {
      const start = random.bytes(BLOCK_BYTES)
      const cipher = createCipheriv(algorithm, secret, start)
      return Buffer.concat([start, cipher.update(value), cipher.final()])
    },
    open(_key, sealed) {
      const decipher = createDecipheriv(algorithm, secret, sealed.subarray(0, BLOCK_BYTES))
      return Buffer.concat([decipher.update(sealed.subarray(BLOCK_BYTES)), decipher.final()])
    },
  }
}

const SECRETBOX_NONCE_BYTES = 24

/** XSalsa20 and Poly1305, as NaCl's secretbox. */
export function secretbox({ name, secret }: Secret, random: Pick<Random, 'bytes'>): Cipher {
  return {
    prefix: `k8s:enc:secretbox:v1:${name}:`,
    seal(_key, value) {
      const nonce = random.bytes(SECRETBOX_NONCE_BYTES)
      return Buffer.concat([nonce, xsalsa20poly1305(secret, nonce).encrypt(value)])
    },
    open: (_key, sealed) =>
      xsalsa20poly1305(secret, sealed.subarray(0, SECRETBOX_NONCE_BYTES)).decrypt(
        sealed.subarray(SECRETBOX_NONCE_BYTES),
      ),
  }
}
