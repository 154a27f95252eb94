/** KMS v2 (KEP-3299): a plugin behind a unix socket wraps a seed; values are sealed with keys made of the seed. */
import { createCipheriv, createDecipheriv, createHash, createHmac } from 'node:crypto'
import * as grpc from '@grpc/grpc-js'
import { fromJSON } from '@grpc/proto-loader'
import { grpcDeadline, type Random } from '#base'
import type { Cipher } from './ciphers.ts'

const bytesField = (id: number) => ({ type: 'bytes', id })
const textField = (id: number) => ({ type: 'string', id })
const annotationsField = (id: number) => ({ keyType: 'string', type: 'bytes', id })
const fields = (fields: object) => ({ fields })

const schema = {
  nested: {
    v2: {
      nested: {
        KeyManagementService: {
          methods: {
            Status: { requestType: 'StatusRequest', responseType: 'StatusResponse' },
            Decrypt: { requestType: 'DecryptRequest', responseType: 'DecryptResponse' },
            Encrypt: { requestType: 'EncryptRequest', responseType: 'EncryptResponse' },
          },
        },
        StatusRequest: fields({}),
        StatusResponse: fields({
          version: textField(1),
          healthz: textField(2),
          keyId: textField(3),
        }),
        DecryptRequest: fields({
          ciphertext: bytesField(1),
          uid: textField(2),
          keyId: textField(3),
          annotations: annotationsField(4),
        }),
        DecryptResponse: fields({ plaintext: bytesField(1) }),
        EncryptRequest: fields({ plaintext: bytesField(1), uid: textField(2) }),
        EncryptResponse: fields({
          ciphertext: bytesField(1),
          keyId: textField(2),
          annotations: annotationsField(3),
        }),
        EncryptedObject: fields({
          encryptedData: bytesField(1),
          keyID: textField(2),
          encryptedDEKSource: bytesField(3),
          annotations: annotationsField(4),
          encryptedDEKSourceType: { type: 'int32', id: 5 },
        }),
      },
    },
  },
}

/** How a value lies in the store. */
interface EncryptedObject {
  readonly encryptedData: Buffer
  readonly keyID: string
  readonly encryptedDEKSource: Buffer
  readonly annotations: Readonly<Record<string, Buffer>>
  /** 1: the source is a seed, of which a key is derived for each value. */
  readonly encryptedDEKSourceType: number
}

interface Wrapped {
  readonly ciphertext: Buffer
  readonly keyId: string
  readonly annotations: Readonly<Record<string, Buffer>>
}

const SEED_BYTES = 32
const INFO_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
const FROM_SEED = 1

export interface KmsOptions {
  readonly name: string
  readonly socket: string
  readonly timeoutMs: number
  readonly random: Pick<Random, 'bytes' | 'uuid'>
}

export interface KmsCipher extends Cipher {
  /** Has the plugin unwrap the seeds of these values, so that they can be opened. */
  prepare(sealed: readonly Uint8Array[]): Promise<void>
  /** Throws when the plugin is not well. */
  check(): Promise<void>
  close(): void
}

/** Asks the plugin for its key and wraps a new seed with it. Rejects when the plugin does not answer. */
export async function kmsCipher(options: KmsOptions): Promise<KmsCipher> {
  const { name, socket, timeoutMs, random } = options
  const definitions = fromJSON(schema as unknown as Parameters<typeof fromJSON>[0], {
    longs: Number,
    defaults: true,
  }) as unknown as Readonly<Record<string, grpc.ServiceDefinition & MessageDefinition>>
  const service = definitions['v2.KeyManagementService']!
  const message = definitions['v2.EncryptedObject']!
  const client = new grpc.Client(`unix://${socket}`, grpc.credentials.createInsecure())
  const call = <T>(method: string, request: object): Promise<T> =>
    new Promise((resolve, reject) => {
      const { path, requestSerialize, responseDeserialize } = service[method]!
      client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        new grpc.Metadata(),
        { deadline: grpcDeadline(timeoutMs) },
        (error, value) =>
          error === null
            ? resolve(value as T)
            : reject(new Error(`KMS ${JSON.stringify(name)}: ${method}: ${error.details}`)),
      )
    })

  const seeds = new Map<string, Uint8Array>()
  const idOf = (source: Uint8Array): string => createHash('sha256').update(source).digest('base64')
  const check = async (): Promise<void> => {
    const { healthz, version } = await call<{ healthz: string; version: string }>('Status', {})
    if (healthz !== 'ok') throw new Error(`KMS ${JSON.stringify(name)} is not healthy: ${healthz}`)
    if (version !== 'v2' && version !== 'v2beta1')
      throw new Error(`KMS ${JSON.stringify(name)} speaks ${version}, not v2`)
  }
  await check()
  const seed = random.bytes(SEED_BYTES)
  const wrapped = await call<Wrapped>('Encrypt', { plaintext: seed, uid: random.uuid() })
  seeds.set(idOf(wrapped.ciphertext), seed)

  const parse = (sealed: Uint8Array): EncryptedObject =>
    message.deserialize(Buffer.from(sealed)) as EncryptedObject
  return {
    prefix: `k8s:enc:kms:v2:${name}:`,
    check,
    close: () => client.close(),
    async prepare(sealed) {
      for (const each of sealed) {
        const { encryptedDEKSource, keyID, annotations } = parse(each)
        const id = idOf(encryptedDEKSource)
        if (seeds.has(id)) continue
        const { plaintext } = await call<{ plaintext: Buffer }>('Decrypt', {
          ciphertext: encryptedDEKSource,
          uid: random.uuid(),
          keyId: keyID,
          annotations,
        })
        seeds.set(id, plaintext)
      }
    },
    seal(key, value) {
      const info = random.bytes(INFO_BYTES)
      const nonce = random.bytes(NONCE_BYTES)
      const cipher = createCipheriv('aes-256-gcm', derive(seed, info), nonce)
      cipher.setAAD(Buffer.from(key))
      const encryptedData = Buffer.concat([
        info,
        nonce,
        cipher.update(value),
        cipher.final(),
        cipher.getAuthTag(),
      ])
      const object: EncryptedObject = {
        encryptedData,
        keyID: wrapped.keyId,
        encryptedDEKSource: wrapped.ciphertext,
        annotations: wrapped.annotations,
        encryptedDEKSourceType: FROM_SEED,
      }
      return message.serialize(object)
    },
    open(key, sealed) {
      const { encryptedData, encryptedDEKSource, encryptedDEKSourceType } = parse(sealed)
      const source = seeds.get(idOf(encryptedDEKSource))
      if (source === undefined) throw new Error('its key was not unwrapped by the KMS plugin')
      const isSeed = encryptedDEKSourceType === FROM_SEED
      const secret = isSeed ? derive(source, encryptedData.subarray(0, INFO_BYTES)) : source
      const rest = isSeed ? encryptedData.subarray(INFO_BYTES) : encryptedData
      const decipher = createDecipheriv('aes-256-gcm', secret, rest.subarray(0, NONCE_BYTES))
      decipher.setAAD(Buffer.from(key))
      decipher.setAuthTag(rest.subarray(-TAG_BYTES))
      return Buffer.concat([
        decipher.update(rest.subarray(NONCE_BYTES, -TAG_BYTES)),
        decipher.final(),
      ])
    },
  }
}

interface MessageDefinition {
  serialize(value: object): Buffer
  deserialize(bytes: Buffer): object
}

/** One block of HKDF-Expand with SHA-256 (RFC 5869 §2.3). */
const derive = (seed: Uint8Array, info: Uint8Array): Buffer =>
  createHmac('sha256', seed).update(info).update(Uint8Array.of(1)).digest()
