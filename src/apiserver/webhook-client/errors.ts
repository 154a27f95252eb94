/** What went wrong on the way to a webhook, in the words that users of Kubernetes search for. */

interface NetworkError extends Error {
  readonly code?: string
  readonly address?: string
  readonly port?: number
  readonly hostname?: string
  readonly cert?: { readonly subjectaltname?: string; readonly valid_to?: string }
}

const CERTIFICATE = 'tls: failed to verify certificate: x509: '

const UNKNOWN_AUTHORITY: ReadonlySet<string> = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'CERT_SIGNATURE_FAILURE',
])

export function isUnknownAuthority(thrown: unknown): boolean {
  return UNKNOWN_AUTHORITY.has((thrown as NetworkError).code ?? '')
}

/** What follows `Post "https://…": `. */
export function failureText(thrown: unknown, serverName: string): string {
  const error = thrown as NetworkError
  const { code = '' } = error
  if (isUnknownAuthority(thrown)) return `${CERTIFICATE}certificate signed by unknown authority`
  const host = error.address?.includes(':') === true ? `[${error.address}]` : error.address
  const dial = `dial tcp ${host === undefined ? serverName : `${host}:${error.port ?? 0}`}: connect:`
  switch (code) {
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return `${CERTIFICATE}${namesText(error, serverName)}`
    case 'CERT_HAS_EXPIRED':
    case 'CERT_NOT_YET_VALID':
      return `${CERTIFICATE}certificate has expired or is not yet valid`
    case 'ECONNREFUSED':
      return `${dial} connection refused`
    case 'EHOSTUNREACH':
      return `${dial} no route to host`
    case 'ENETUNREACH':
      return `${dial} network is unreachable`
    case 'ETIMEDOUT':
      return `${dial} connection timed out`
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `dial tcp: lookup ${error.hostname ?? serverName}: no such host`
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'EPROTO':
      return 'http: server gave HTTP response to HTTPS client'
    case 'ECONNRESET':
    case 'EPIPE':
      return 'EOF'
    default:
      return error.message
  }
}

function namesText({ cert }: NetworkError, serverName: string): string {
  const names = (cert?.subjectaltname ?? '')
    .split(', ')
    .filter((each) => each !== '')
    .map((each) => each.replace(/^(DNS|IP Address):/, ''))
  return names.length === 0
    ? `certificate is not valid for any names, but wanted to match ${serverName}`
    : `certificate is valid for ${names.join(', ')}, not ${serverName}`
}

const BY_STATUS: Readonly<Record<number, string>> = {
  400: 'the server rejected our request for an unknown reason',
  401: 'the server has asked for the client to provide credentials',
  403: 'unknown',
  404: 'the server could not find the requested resource',
  405: 'the server does not allow this method on the requested resource',
  406: 'the server was unable to respond with a content type that the client supports',
  409: 'the server reported a conflict',
  415: 'the body of the request was in an unknown format',
  422: 'the server rejected our request due to an error in our request',
  429: 'the server has received too many requests and has asked us to try again later',
  503: 'the server is currently unable to handle the request',
  504: 'the server was unable to return a response in the time allotted, but may still be processing the request',
}

/** An answer that is no success and no Status. */
export function responseText(status: number, body: string): string {
  const known = BY_STATUS[status]
  if (known !== undefined) return known
  return status >= 500
    ? `an error on the server (${JSON.stringify(body.slice(0, 2048) || 'unknown')}) has prevented the request from succeeding`
    : `the server responded with the status code ${status} but did not return more details`
}
