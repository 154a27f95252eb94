/** Credentials for registries, from the secrets that a pod names. */
import type { Secret } from '#api'
import type { RegistryAuth } from './runtime.ts'

/** Those whose registry the image is from; the longest match first. */
export function credentialsFor(image: string, secrets: readonly Secret[]): readonly RegistryAuth[] {
  const host = registryOf(image)
  const path = repositoryOf(image)
  const found: { readonly length: number; readonly auth: RegistryAuth }[] = []
  for (const secret of secrets) {
    for (const [key, entry] of Object.entries(dockerConfig(secret))) {
      const server = key.replace(/^https?:\/\//, '').replace(/\/(v1|v2)?\/?$/, '')
      if (!matches(server, host, path)) continue
      found.push({ length: server.length, auth: registryAuth(server, entry) })
    }
  }
  return found.toSorted((a, b) => b.length - a.length).map(({ auth }) => auth)
}

interface DockerEntry {
  readonly username?: string
  readonly password?: string
  readonly auth?: string
  readonly identitytoken?: string
  readonly registrytoken?: string
}

function dockerConfig({ type, data = {} }: Secret): Readonly<Record<string, DockerEntry>> {
  const parse = (text: string | undefined): Readonly<Record<string, unknown>> => {
    if (text === undefined) return {}
    try {
      return JSON.parse(Buffer.from(text, 'base64').toString()) as Record<string, unknown>
    } catch {
      return {}
    }
  }
  const config =
    type === 'kubernetes.io/dockerconfigjson'
      ? parse(data['.dockerconfigjson'])['auths']
      : parse(data['.dockercfg'])
  return (config ?? {}) as Readonly<Record<string, DockerEntry>>
}

function registryAuth(serverAddress: string, entry: DockerEntry): RegistryAuth {
  const decoded = entry.auth === undefined ? '' : Buffer.from(entry.auth, 'base64').toString()
  const colon = decoded.indexOf(':')
  return {
    username: entry.username ?? (colon < 0 ? '' : decoded.slice(0, colon)),
    password: entry.password ?? (colon < 0 ? '' : decoded.slice(colon + 1)),
    auth: '',
    serverAddress,
    identityToken: entry.identitytoken ?? '',
    registryToken: entry.registrytoken ?? '',
  }
}

function registryOf(image: string): string {
  const [head = '', ...rest] = image.split('/')
  return rest.length > 0 && /[.:]|^localhost$/.test(head) ? head : 'docker.io'
}

function repositoryOf(image: string): string {
  const bare = image.replace(/@.*$/, '').replace(/:[^/:]*$/, '')
  const host = registryOf(image)
  return bare.startsWith(`${host}/`) ? bare.slice(host.length + 1) : bare
}

/** A server may have `*` for a part of the host, and a path to begin with. */
function matches(server: string, host: string, path: string): boolean {
  const slash = server.indexOf('/')
  const wantedHost = slash < 0 ? server : server.slice(0, slash)
  const wantedPath = slash < 0 ? '' : server.slice(slash + 1)
  const hub = /^(index\.|registry-1\.)?docker\.io$/
  const sameHost =
    hub.test(wantedHost) && hub.test(host)
      ? true
      : globParts(wantedHost.split('.'), host.split('.'))
  return sameHost && (wantedPath === '' || path === wantedPath || path.startsWith(`${wantedPath}/`))
}

const globParts = (pattern: readonly string[], parts: readonly string[]): boolean =>
  pattern.length === parts.length &&
  pattern.every((glob, index) => {
    const text = parts[index] ?? ''
    if (!glob.includes('*')) return glob === text
    const [before = '', after = ''] = glob.split('*')
    return text.startsWith(before) && text.endsWith(after)
  })
