/** Webhooks that the server is configured with at its start: kubeconfig files that name a URL and who we are to it. */
import { dirname, resolve } from 'node:path'
import type { WebhookClientConfig } from '#api'
import type { Env } from '#base'
import { decodeYaml, type JsonObject } from '#machinery'
import { isObject } from '../json.ts'
import type { WebhookCredentials } from './index.ts'

export interface ConfiguredWebhook {
  readonly config: WebhookClientConfig
  readonly credentials: WebhookCredentials
}

/** Reads the file, and those that it names. Throws an Error that says what is missing. */
export async function readWebhookFile(
  { fs }: Pick<Env, 'fs'>,
  path: string,
): Promise<ConfiguredWebhook> {
  const { value } = decodeYaml(await fs.readText(path))
  if (!isObject(value)) throw new Error(`${path} is not a kubeconfig`)
  const contextName = value['current-context']
  const context = entry(value, 'contexts', contextName, 'context')
  if (context === undefined)
    throw new Error(`${path}: current-context names no context: ${JSON.stringify(contextName)}`)
  const cluster = entry(value, 'clusters', context['cluster'], 'cluster')
  const server = cluster?.['server']
  if (cluster === undefined || typeof server !== 'string')
    throw new Error(
      `${path}: there is no cluster ${JSON.stringify(context['cluster'])} with a server`,
    )
  if (!server.startsWith('https://'))
    throw new Error(`${path}: the server must be an https:// URL, not ${server}`)
  const user = entry(value, 'users', context['user'], 'user') ?? {}
  const content = async (from: JsonObject, name: string): Promise<string | undefined> => {
    const data = from[`${name}-data`]
    if (typeof data === 'string') return Buffer.from(data, 'base64').toString('utf8')
    const file = from[name]
    return typeof file === 'string' ? fs.readText(resolve(dirname(path), file)) : undefined
  }
  const [authority, certificate, key] = await Promise.all([
    content(cluster, 'certificate-authority'),
    content(user, 'client-certificate'),
    content(user, 'client-key'),
  ])
  const tokenFile = user['tokenFile']
  const token =
    typeof tokenFile === 'string'
      ? (await fs.readText(resolve(dirname(path), tokenFile))).trim()
      : user['token']
  return {
    config: {
      url: server,
      ...(authority === undefined ? {} : { caBundle: Buffer.from(authority).toString('base64') }),
    },
    credentials: {
      ...(certificate === undefined ? {} : { certificate }),
      ...(key === undefined ? {} : { key }),
      ...(typeof token === 'string' ? { token } : {}),
    },
  }
}

function entry(
  file: JsonObject,
  list: string,
  name: unknown,
  field: string,
): JsonObject | undefined {
  const entries: unknown = file[list]
  if (!Array.isArray(entries)) return undefined
  const found = entries.find((each: unknown) => isObject(each) && each['name'] === name) as
    | JsonObject
    | undefined
  const value = found?.[field]
  return isObject(value) ? value : undefined
}
