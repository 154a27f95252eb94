/** EncryptionConfiguration (apiserver.config.k8s.io/v1): which resources are encrypted at rest, and how. */
import { decodeYaml, type JsonObject } from '#machinery'
import { isObject } from '../json.ts'

export type Provider =
  | {
      readonly type: 'aesgcm' | 'aescbc' | 'secretbox'
      readonly keys: readonly { readonly name: string; readonly secret: Uint8Array }[]
    }
  | { readonly type: 'identity' }
  | {
      readonly type: 'kms'
      readonly name: string
      /** Path of a unix socket. */
      readonly socket: string
      readonly timeoutMs: number
    }

export interface ResourceEncryption {
  /** `secrets`, `deployments.apps`, `*.apps`, `*.`, `*.*`. */
  readonly resources: readonly string[]
  /** The first writes, all read. */
  readonly providers: readonly Provider[]
}

const KEY_BYTES: Readonly<Record<'aesgcm' | 'aescbc' | 'secretbox', readonly number[]>> = {
  aesgcm: [16, 24, 32],
  aescbc: [16, 24, 32],
  secretbox: [32],
}
const KINDS = ['aesgcm', 'aescbc', 'secretbox', 'kms', 'identity']
const KMS_TIMEOUT_MS = 3000

/** Throws an Error that names the field and what would be right; never with a secret in it. */
export function parseEncryptionConfiguration(text: string): readonly ResourceEncryption[] {
  const { value } = decodeYaml(text)
  if (!isObject(value) || value['kind'] !== 'EncryptionConfiguration')
    throw new Error(
      'kind: must be EncryptionConfiguration, of apiVersion apiserver.config.k8s.io/v1',
    )
  if (value['apiVersion'] !== 'apiserver.config.k8s.io/v1')
    throw new Error('apiVersion: must be apiserver.config.k8s.io/v1')
  const given = listOf(value['resources'], 'resources')
  if (given.length === 0) throw new Error('resources: must have at least one entry')
  return given.map((each, i) => {
    const at = `resources[${i}]`
    const resources = listOf(each['resources'], `${at}.resources`, String) as unknown as string[]
    if (resources.length === 0) throw new Error(`${at}.resources: must name at least one resource`)
    const providers = listOf(each['providers'], `${at}.providers`).map((provider, j) =>
      parseProvider(provider, `${at}.providers[${j}]`),
    )
    if (providers.length === 0) throw new Error(`${at}.providers: must have at least one provider`)
    return { resources, providers }
  })
}

function listOf(value: unknown, at: string, of: unknown = Object): readonly JsonObject[] {
  if (
    !Array.isArray(value) ||
    !value.every((each) => (of === String ? typeof each === 'string' : isObject(each)))
  )
    throw new Error(`${at}: must be a list of ${of === String ? 'texts' : 'objects'}`)
  return value as JsonObject[]
}

function parseProvider(provider: JsonObject, at: string): Provider {
  const [kind, ...more] = Object.keys(provider)
  if (kind === undefined || more.length > 0 || !KINDS.includes(kind))
    throw new Error(`${at}: must have exactly one of ${KINDS.join(', ')}`)
  if (kind === 'identity') return { type: 'identity' }
  const settings = provider[kind]
  if (!isObject(settings)) throw new Error(`${at}.${kind}: must be an object`)
  if (kind === 'kms') return parseKms(settings, `${at}.kms`)
  const type = kind as 'aesgcm' | 'aescbc' | 'secretbox'
  const keys = listOf(settings['keys'], `${at}.${type}.keys`).map((key, i) => {
    const where = `${at}.${type}.keys[${i}]`
    const { name, secret } = key
    if (typeof name !== 'string' || name === '' || name.includes(':'))
      throw new Error(`${where}.name: must be a text without a colon`)
    const bytes = Buffer.from(typeof secret === 'string' ? secret : '', 'base64')
    if (!KEY_BYTES[type].includes(bytes.length))
      throw new Error(
        `${where}.secret: must be the base64 of ${KEY_BYTES[type].join(', ')} bytes, and has ${bytes.length}`,
      )
    return { name, secret: bytes }
  })
  if (keys.length === 0) throw new Error(`${at}.${type}.keys: must have at least one key`)
  return { type, keys }
}

function parseKms(settings: JsonObject, at: string): Provider {
  const { name, endpoint, apiVersion, timeout } = settings
  if (apiVersion !== 'v2') throw new Error(`${at}.apiVersion: must be v2; v1 is no more`)
  if (typeof name !== 'string' || name === '' || name.includes(':'))
    throw new Error(`${at}.name: must be a text without a colon`)
  if (typeof endpoint !== 'string' || !endpoint.startsWith('unix://'))
    throw new Error(`${at}.endpoint: must be a unix socket: unix:///path`)
  const seconds =
    timeout === undefined ? undefined : /^(\d+(?:\.\d+)?)s$/.exec(String(timeout as string))?.[1]
  if (timeout !== undefined && seconds === undefined)
    throw new Error(`${at}.timeout: must be seconds, such as 3s`)
  return {
    type: 'kms',
    name,
    socket: endpoint.slice('unix://'.length),
    timeoutMs: seconds === undefined ? KMS_TIMEOUT_MS : Number(seconds) * 1000,
  }
}

/** Whether the entry's pattern means the resource, `secrets` or `widgets.example.com`. */
export function covers(pattern: string, resource: string): boolean {
  if (pattern === '*.*') return true
  const group = resource.includes('.') ? resource.slice(resource.indexOf('.') + 1) : ''
  if (pattern.startsWith('*.')) return pattern.slice(2) === group
  return pattern === resource
}
