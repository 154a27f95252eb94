/** Kubeconfig documents with their certificates inside. */
import { stringify } from 'yaml'
import type { Credential } from './keys.ts'

/** What a kubeconfig file says. */
export interface KubeconfigOptions {
  /** `https://127.0.0.1:6443` */
  readonly server: string
  /** PEM of the authority that signed the server. */
  readonly authority: string
  /** Names the cluster and the context. */
  readonly name: string
  readonly user: string
  readonly credential: Pick<Credential, 'certificate' | 'key'> | { readonly token: string }
  readonly namespace?: string
}

/** The document as a value; `kubeconfigText` writes it. */
export interface KubeconfigDocument {
  readonly apiVersion: 'v1'
  readonly kind: 'Config'
  readonly clusters: readonly { readonly name: string; readonly cluster: Record<string, string> }[]
  readonly users: readonly { readonly name: string; readonly user: Record<string, string> }[]
  readonly contexts: readonly { readonly name: string; readonly context: Record<string, string> }[]
  readonly 'current-context': string
}

const base64 = (text: string): string => Buffer.from(text, 'utf8').toString('base64')

const kubeconfig = (options: KubeconfigOptions): KubeconfigDocument => ({
  apiVersion: 'v1',
  kind: 'Config',
  clusters: [
    {
      name: options.name,
      cluster: {
        'certificate-authority-data': base64(options.authority),
        server: options.server,
      },
    },
  ],
  users: [
    {
      name: options.user,
      user:
        'token' in options.credential
          ? { token: options.credential.token }
          : {
              'client-certificate-data': base64(options.credential.certificate),
              'client-key-data': base64(options.credential.key),
            },
    },
  ],
  contexts: [
    {
      name: options.name,
      context: {
        cluster: options.name,
        ...(options.namespace === undefined ? {} : { namespace: options.namespace }),
        user: options.user,
      },
    },
  ],
  'current-context': options.name,
})

/** The file, with one cluster, one user and one context. It holds a secret. */
export const kubeconfigText = (options: KubeconfigOptions): string =>
  stringify(kubeconfig(options), { lineWidth: 0 })
