/** What a kubeconfig says about its current context. */
import { parse } from 'yaml'

/** How a server is reached, and who asks. */
export interface Connection {
  readonly server: string
  readonly authority?: string
  readonly certificate?: string
  readonly key?: string
  readonly token?: string
  readonly namespace: string
}

interface Document {
  readonly 'current-context'?: string
  readonly clusters?: readonly {
    readonly name: string
    readonly cluster?: Record<string, string>
  }[]
  readonly users?: readonly { readonly name: string; readonly user?: Record<string, string> }[]
  readonly contexts?: readonly {
    readonly name: string
    readonly context?: Record<string, string>
  }[]
}

/** Throws when the context, or what it names, is not there. Data must be in the file itself. */
export function parseKubeconfig(text: string, contextName?: string): Connection {
  const document = (parse(text) ?? {}) as Document
  const name = contextName ?? document['current-context'] ?? ''
  const context = document.contexts?.find((c) => c.name === name)?.context
  if (context === undefined)
    throw new Error(`The kubeconfig has no context ${JSON.stringify(name)}`)
  const cluster = document.clusters?.find((c) => c.name === context['cluster'])?.cluster
  if (cluster?.['server'] === undefined)
    throw new Error(
      `The kubeconfig has no cluster ${JSON.stringify(context['cluster'])} with a server`,
    )
  const user = document.users?.find((u) => u.name === context['user'])?.user ?? {}
  const decoded = (base64: string | undefined): string | undefined =>
    base64 === undefined ? undefined : Buffer.from(base64, 'base64').toString('utf8')
  const optional = <K extends string>(
    key: K,
    value: string | undefined,
  ): Partial<Record<K, string>> =>
    value === undefined ? {} : ({ [key]: value } as Record<K, string>)
  return {
    server: cluster['server'],
    namespace: context['namespace'] ?? 'default',
    ...optional('authority', decoded(cluster['certificate-authority-data'])),
    ...optional('certificate', decoded(user['client-certificate-data'])),
    ...optional('key', decoded(user['client-key-data'])),
    ...optional('token', user['token']),
  }
}
