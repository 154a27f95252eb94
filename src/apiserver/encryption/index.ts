/** Encryption at rest: values of chosen resources lie sealed in the store. Secrets do from the first start. */
import type { Env } from '#base'
import type { ResourceDefinition } from '#machinery'
import { transformedStorage, type Storage, type ValueTransform } from '#storage'
import { aesCbc, aesGcm, secretbox, type Cipher } from './ciphers.ts'
import { covers, parseEncryptionConfiguration, type Provider } from './configuration.ts'
import { kmsCipher, type KmsCipher } from './kms.ts'

const MARK = Buffer.from('k8s:enc:')
const ROOT = '/registry/'

interface Rule {
  readonly resources: readonly string[]
  /** Undefined: what is written stays plain. */
  readonly writes: Cipher | undefined
}

export interface EncryptionOptions {
  /** A file with an EncryptionConfiguration. Made with a fresh key for Secrets when it is not there. */
  readonly file: string
  readonly definitions: readonly ResourceDefinition[]
}

export interface Encryption {
  readonly storage: Storage
  /** Writes anew what lies in another form than it would be written in now: of an earlier key, or plain. Says how much that was. */
  rewrite(): Promise<number>
  /** Of the KMS plugins, by name. */
  readonly checks: Readonly<Record<string, () => Promise<void>>>
  close(): void
}

/** Throws an Error that names the file and what is wrong with it, or what cannot be decrypted. */
export async function openEncryption(
  env: Pick<Env, 'fs' | 'random' | 'clock'>,
  inner: Storage,
  { file, definitions }: EncryptionOptions,
): Promise<Encryption> {
  const rules: Rule[] = []
  const ciphers = new Map<string, Cipher>()
  const plugins = new Map<string, KmsCipher>()
  try {
    for (const { resources, providers } of parseEncryptionConfiguration(
      await configured(env, file),
    )) {
      let writes: Cipher | undefined
      for (const [i, provider] of providers.entries()) {
        const made = await ciphersOf(env, provider, plugins)
        for (const cipher of made) ciphers.set(cipher.prefix, cipher)
        if (i === 0) [writes] = made
      }
      rules.push({ resources, writes })
    }
  } catch (error) {
    for (const plugin of plugins.values()) plugin.close()
    throw new Error(`${file}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    })
  }
  const writerOf = writers(rules, definitions)
  const transform = transformOf(ciphers, writerOf)
  await prepare(inner, plugins)
  const storage = transformedStorage(inner, transform)
  return {
    storage,
    checks: Object.fromEntries(
      [...plugins].map(([name, plugin]) => [`kms-provider-${name}`, () => plugin.check()]),
    ),
    async rewrite() {
      let rewritten = 0
      const { value: entries } = await inner.list({ prefix: ROOT })
      for (const { key, value, modified } of entries) {
        const wanted = writerOf(key)?.prefix
        if (wanted === prefixOf(value)) continue
        const time = env.clock.now().getTime()
        const origin = { actor: 'system:navarch', cause: 'encryption at rest', time }
        const write = await storage.update(key, transform.fromStored(key, value), modified, origin)
        if (write.ok) rewritten++
      }
      return rewritten
    },
    close() {
      for (const plugin of plugins.values()) plugin.close()
    },
  }
}

const KEY_BYTES = 32

async function configured(
  { fs, random }: Pick<Env, 'fs' | 'random'>,
  file: string,
): Promise<string> {
  if ((await fs.stat(file)) !== undefined) return fs.readText(file)
  const secret = Buffer.from(random.bytes(KEY_BYTES)).toString('base64')
  const text = `# How values lie in the store (Kubernetes' EncryptionConfiguration). Keep this file: without its keys they cannot be read.
# To change the key: put a new one first in the list, start again, and remove the old one at the next start.
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers:
      - aesgcm:
          keys:
            - name: key1
              secret: ${secret}
      - identity: {}
`
  await fs.write(file, text, { mode: 0o600, atomic: true })
  return text
}

async function ciphersOf(
  { random }: Pick<Env, 'random'>,
  provider: Provider,
  plugins: Map<string, KmsCipher>,
): Promise<readonly Cipher[]> {
  switch (provider.type) {
    case 'identity':
      return []
    case 'aesgcm':
      return provider.keys.map((key) => aesGcm(key, random))
    case 'aescbc':
      return provider.keys.map((key) => aesCbc(key, random))
    case 'secretbox':
      return provider.keys.map((key) => secretbox(key, random))
    case 'kms': {
      const plugin = plugins.get(provider.name) ?? (await kmsCipher({ ...provider, random }))
      plugins.set(provider.name, plugin)
      return [plugin]
    }
  }
}

/** What writes a key: the first rule that covers its resource. Found once for each resource. */
function writers(
  rules: readonly Rule[],
  definitions: readonly ResourceDefinition[],
): (key: string) => Cipher | undefined {
  const named = new Map(
    definitions.map(({ storagePrefix, facts: { resource, group } }) => [
      storagePrefix,
      group === '' ? resource : `${resource}.${group}`,
    ]),
  )
  const found = new Map<string, Cipher | undefined>()
  return (key) => {
    // `/registry/secrets/ns/name`, `/registry/group/resource/ns/name`: one or two parts name the resource.
    const one = key.indexOf('/', ROOT.length) + 1
    const two = key.indexOf('/', one) + 1
    const prefix = named.has(key.slice(0, one)) || two === 0 ? key.slice(0, one) : key.slice(0, two)
    if (!found.has(prefix)) {
      const [group = '', resource = ''] = prefix.slice(ROOT.length, -1).split('/')
      const name = named.get(prefix) ?? `${resource}.${group}`
      found.set(
        prefix,
        rules.find(({ resources }) => resources.some((each) => covers(each, name)))?.writes,
      )
    }
    return found.get(prefix)
  }
}

/** `k8s:enc:aesgcm:v1:key1:`; undefined for what lies there plain. */
export function prefixOf(value: Uint8Array): string | undefined {
  if (value[0] !== MARK[0] || Buffer.compare(value.subarray(0, MARK.length), MARK) !== 0)
    return undefined
  // k8s : enc : kind : version : key name :
  let end = MARK.length - 1
  for (let part = 0; part < 3; part++) end = value.indexOf(0x3a, end + 1)
  return Buffer.from(value.subarray(0, end + 1)).toString('latin1')
}

const transformOf = (
  ciphers: ReadonlyMap<string, Cipher>,
  writerOf: (key: string) => Cipher | undefined,
): ValueTransform => ({
  toStored(key, value) {
    const cipher = writerOf(key)
    return cipher === undefined
      ? value
      : Buffer.concat([Buffer.from(cipher.prefix), cipher.seal(key, value)])
  },
  fromStored(key, stored) {
    const prefix = prefixOf(stored)
    if (prefix === undefined) return stored
    const cipher = ciphers.get(prefix)
    if (cipher === undefined)
      throw new Error(
        `${key} is encrypted with ${prefix.slice(MARK.length, -1)}, of which there is no key any more`,
      )
    try {
      return cipher.open(key, stored.subarray(prefix.length))
    } catch (error) {
      throw new Error(`${key} cannot be decrypted with ${prefix.slice(MARK.length, -1)}`, {
        cause: error,
      })
    }
  },
})

async function prepare(inner: Storage, plugins: ReadonlyMap<string, KmsCipher>): Promise<void> {
  if (plugins.size === 0) return
  const { value: entries } = await inner.list({ prefix: ROOT })
  for (const plugin of plugins.values())
    await plugin.prepare(
      entries
        .filter(({ value }) => prefixOf(value) === plugin.prefix)
        .map(({ value }) => value.subarray(plugin.prefix.length)),
    )
}
