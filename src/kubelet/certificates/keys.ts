/** Keys of pods, and the nameless PKCS#10 requests (RFC 2986) that prove to a signer that the node has them. */
import { type KeyObject, generateKeyPair, generateKeyPairSync, sign } from 'node:crypto'
import { promisify } from 'node:util'

interface KeyPair {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

const generate = promisify(generateKeyPair)
const curve = (namedCurve: string) => (): KeyPair => generateKeyPairSync('ec', { namedCurve })
/** Long to find: not on the event loop. */
const rsa = (modulusLength: number) => (): Promise<KeyPair> => generate('rsa', { modulusLength })

interface KeyKind {
  readonly make: () => KeyPair | Promise<KeyPair>
  /** Of the signature: DER of its AlgorithmIdentifier. */
  readonly algorithm: string
  /** `null`: the kind of key has one of its own. */
  readonly hash: string | null
}

const SHA256_RSA = '300d06092a864886f70d01010b0500'
const ecdsa = (last: string): string => `300a06082a8648ce3d0403${last}`

/** By the names that pods use. */
const KINDS: Readonly<Record<string, KeyKind>> = {
  RSA3072: { make: rsa(3072), algorithm: SHA256_RSA, hash: 'sha256' },
  RSA4096: { make: rsa(4096), algorithm: SHA256_RSA, hash: 'sha256' },
  ECDSAP256: { make: curve('P-256'), algorithm: ecdsa('02'), hash: 'sha256' },
  ECDSAP384: { make: curve('P-384'), algorithm: ecdsa('03'), hash: 'sha384' },
  ECDSAP521: { make: curve('P-521'), algorithm: ecdsa('04'), hash: 'sha512' },
  ED25519: { make: () => generateKeyPairSync('ed25519'), algorithm: '300506032b6570', hash: null },
}

export interface KeyAndRequest {
  /** PKCS#8 in PEM. */
  readonly key: string
  /** DER of a request without a subject, signed with the key. */
  readonly request: Uint8Array
}

export async function makeKeyAndRequest(keyType: string): Promise<KeyAndRequest> {
  const kind = KINDS[keyType]
  if (kind === undefined) throw new Error(`unknown key type "${keyType}"`)
  const { privateKey, publicKey } = await kind.make()
  const info = der(
    SEQUENCE,
    Buffer.from('020100', 'hex'),
    der(SEQUENCE),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(ATTRIBUTES),
  )
  const signature = sign(kind.hash, info, privateKey)
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    request: der(
      SEQUENCE,
      info,
      Buffer.from(kind.algorithm, 'hex'),
      der(BIT_STRING, Buffer.of(0), signature),
    ),
  }
}

const SEQUENCE = 0x30
const BIT_STRING = 0x03
const ATTRIBUTES = 0xa0

/** One value: its tag, its length, and what is in it. */
function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  const size: number[] = []
  for (let left = content.length; left > 0; left = Math.floor(left / 256)) size.unshift(left % 256)
  const length = content.length < 128 ? [content.length] : [0x80 | size.length, ...size]
  return Buffer.concat([Buffer.of(tag, ...length), content])
}
