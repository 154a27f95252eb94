/** Config maps and secrets. */
import {
  FieldPath,
  forbiddenField,
  invalidValue,
  jsonSyntaxError,
  required,
  tooLong,
  type FieldError,
} from '#machinery'
import { decodeBase64, encodeBase64 } from '../base64.ts'
import { defineResource } from '../define.ts'
import { equal } from '../equal.ts'
import { configMaps as configMapsRef, secrets as secretsRef } from '../resources.gen.ts'
import { check, configKey } from '../rules.ts'
import type { ConfigMap, Secret } from '../types.gen.ts'

/** What fits in one object with room to spare: 1 MiB. */
const MAX_BYTES = 1024 * 1024
const data = FieldPath.of('data')

const bytesOf = (text: string): number => Buffer.byteLength(text)
/** Length of what base64 text stands for. */
const decodedLength = (text: string): number =>
  Math.floor((text.length * 3) / 4) - (text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0)

function validateConfigMap(map: ConfigMap): readonly FieldError[] {
  const errors: FieldError[] = []
  let size = 0
  for (const [key, value] of Object.entries(map.data ?? {})) {
    const at = data.key(key)
    errors.push(...check(at, key, configKey))
    if (map.binaryData?.[key] !== undefined) {
      errors.push(invalidValue(at, key, 'duplicate of key present in binaryData'))
    }
    size += bytesOf(value)
  }
  for (const [key, value] of Object.entries(map.binaryData ?? {})) {
    errors.push(...check(FieldPath.of('binaryData').key(key), key, configKey))
    size += decodedLength(value)
  }
  if (size > MAX_BYTES) errors.push(tooLong(FieldPath.root.key(''), MAX_BYTES))
  return errors
}

const FROZEN = 'field is immutable when `immutable` is set'

/** Once an object is sealed, neither its contents nor the seal change. */
function validateSealed(
  now: ConfigMap | Secret,
  old: ConfigMap | Secret,
  fields: readonly string[],
): readonly FieldError[] {
  if (old.immutable !== true) return []
  const errors: FieldError[] = []
  if (now.immutable !== true) errors.push(forbiddenField(FieldPath.of('immutable'), FROZEN))
  const after = now as unknown as Readonly<Record<string, unknown>>
  const before = old as unknown as Readonly<Record<string, unknown>>
  for (const field of fields) {
    if (!sameMap(after[field], before[field])) {
      errors.push(forbiddenField(FieldPath.of(field), FROZEN))
    }
  }
  return errors
}
const sameMap = (a: unknown, b: unknown): boolean => equal(a ?? {}, b ?? {})

export const configMaps = defineResource(configMapsRef, {
  validate: validateConfigMap,
  validateUpdate: (now, old) => validateSealed(now, old, ['data', 'binaryData']),
  cells: {
    Data: (map) => Object.keys(map.data ?? {}).length + Object.keys(map.binaryData ?? {}).length,
  },
})

const REQUIRED_KEYS: Readonly<Record<string, readonly string[]>> = {
  'kubernetes.io/dockercfg': ['.dockercfg'],
  'kubernetes.io/dockerconfigjson': ['.dockerconfigjson'],
  'kubernetes.io/ssh-auth': ['ssh-privatekey'],
  'kubernetes.io/tls': ['tls.crt', 'tls.key'],
}
const JSON_KEYS = new Set(['.dockercfg', '.dockerconfigjson'])

function validateSecret(secret: Secret): readonly FieldError[] {
  const errors: FieldError[] = []
  let size = 0
  for (const [key, value] of Object.entries(secret.data ?? {})) {
    errors.push(...check(data.key(key), key, configKey))
    size += decodedLength(value)
  }
  if (size > MAX_BYTES) errors.push(tooLong(data, MAX_BYTES))
  const type = secret.type ?? ''
  for (const key of REQUIRED_KEYS[type] ?? []) {
    const value = secret.data?.[key]
    if (value === undefined) errors.push(required(data.key(key)))
    else if (JSON_KEYS.has(key)) errors.push(...validateJson(value, data.key(key)))
  }
  if (type === 'kubernetes.io/basic-auth') {
    const { username, password } = secret.data ?? {}
    if (username === undefined && password === undefined) {
      errors.push(required(data.key('username')), required(data.key('password')))
    }
  }
  if (type === 'kubernetes.io/service-account-token') {
    const key = 'kubernetes.io/service-account.name'
    if ((secret.metadata.annotations?.[key] ?? '') === '') {
      errors.push(required(FieldPath.of('metadata', 'annotations').key(key)))
    }
  }
  return errors
}

function validateJson(value: string, path: FieldPath): readonly FieldError[] {
  const text = decodeBase64(value)
  try {
    JSON.parse(text)
    return []
  } catch {
    return [invalidValue(path, '<secret contents redacted>', jsonSyntaxError(text))]
  }
}

export const secrets = defineResource(secretsRef, {
  defaults(secret) {
    secret.type ??= 'Opaque'
    foldStringData(secret)
  },
  validate: validateSecret,
  validateUpdate: (now, old) => [
    ...(now.type === old.type
      ? []
      : [invalidValue(FieldPath.of('type'), now.type, 'field is immutable')]),
    ...validateSealed(now, old, ['data']),
  ],
  fields: ({ type = '' }) => ({ type }),
  cells: {
    Type: ({ type }) => type,
    Data: (secret) => Object.keys(secret.data ?? {}).length,
  },
})

/** `stringData` is for writing only: it ends up in `data`. */
function foldStringData(secret: {
  stringData?: Record<string, string>
  data?: Record<string, string>
}): void {
  const { stringData } = secret
  if (stringData === undefined) return
  const all = (secret.data ??= {})
  for (const [key, text] of Object.entries(stringData)) all[key] = encodeBase64(text)
  delete secret.stringData
}
