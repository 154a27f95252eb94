/** What extension API servers must know to trust this one: ConfigMap `kube-system/extension-apiserver-authentication`. */
import type { Transport } from '#client'
import { isStatus } from '#machinery'

const NAME = 'extension-apiserver-authentication'
const PATH = '/api/v1/namespaces/kube-system/configmaps'

/** Who signs the certificates of clients, and of proxies that speak for others. */
export interface AuthenticationConfig {
  /** PEM. */
  readonly clientAuthority: string
  /** PEM. */
  readonly frontProxyAuthority: string
  /** Common names of front proxies. Default `front-proxy-client`. */
  readonly frontProxyNames?: readonly string[]
}

/** Makes it, or corrects it; a write that changes nothing is none. */
export async function ensureAuthenticationConfig(
  transport: Transport,
  {
    clientAuthority,
    frontProxyAuthority,
    frontProxyNames = ['front-proxy-client'],
  }: AuthenticationConfig,
): Promise<void> {
  const list = (...names: readonly string[]): string => JSON.stringify(names)
  const body = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: NAME, namespace: 'kube-system' },
    data: {
      'client-ca-file': clientAuthority,
      'requestheader-allowed-names': list(...frontProxyNames),
      'requestheader-client-ca-file': frontProxyAuthority,
      'requestheader-extra-headers-prefix': list('X-Remote-Extra-'),
      'requestheader-group-headers': list('X-Remote-Group'),
      'requestheader-uid-headers': list('X-Remote-Uid'),
      'requestheader-username-headers': list('X-Remote-User'),
    },
  }
  const cause = 'authentication-config'
  const patch = {
    method: 'PATCH',
    path: `${PATH}/${NAME}`,
    contentType: 'application/merge-patch+json',
    body: { data: body.data },
    cause,
  } as const
  try {
    await transport.request(patch)
  } catch (error) {
    if (!isStatus(error, 'NotFound')) throw error
    try {
      await transport.request({ method: 'POST', path: PATH, body, cause })
    } catch (late) {
      if (!isStatus(late, 'AlreadyExists')) throw late
    }
  }
}
