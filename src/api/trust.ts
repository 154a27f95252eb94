/** Rules of ClusterTrustBundles and PodCertificateRequests, and of the volumes that are made of them. */
import { FieldPath, invalidValue, notSupported, required, type FieldError } from '#machinery'
import { equal } from './equal.ts'
import { check, dnsSubdomain, type LabelSelectorLike } from './rules.ts'
import type { ClusterTrustBundle, PodCertificateRequest } from './types/certificates-v1beta1.gen.ts'
import type { ClusterTrustBundleProjection, PodCertificateProjection } from './types.gen.ts'

const spec = FieldPath.of('spec')

/** `example.com/name`: a domain, and what it signs. */
export function validateSignerName(
  given: string | undefined,
  path: FieldPath,
): readonly FieldError[] {
  const name = given ?? ''
  if (name === '') return [required(path)]
  const slash = name.indexOf('/')
  if (slash < 0 || slash === name.length - 1) {
    return [
      invalidValue(
        path,
        name,
        "must be a fully qualified domain and path of the form 'example.com/signer-name'",
      ),
    ]
  }
  return check(path, name.slice(0, slash), dnsSubdomain)
}

const MAX_BUNDLE_BYTES = 1024 * 1024
const BLOCK = /-----BEGIN ([^-]+)-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END \1-----\r?\n?/g

export function validateBundle({ metadata, spec: own }: ClusterTrustBundle): readonly FieldError[] {
  const errors: FieldError[] = []
  const { signerName = '' } = own
  // What is required and absent is told by the facts; it must not be stumbled over here.
  const name = (metadata.name as string | undefined) ?? ''
  const trustBundle = (own.trustBundle as string | undefined) ?? ''
  const at = FieldPath.of('metadata', 'name')
  if (signerName === '') {
    if (name.includes(':'))
      errors.push(
        invalidValue(
          at,
          name,
          'ClusterTrustBundle without signer name must not have ":" in its name',
        ),
      )
  } else {
    errors.push(...validateSignerName(signerName, spec.child('signerName')))
    const prefix = `${signerName.replaceAll('/', ':')}:`
    if (!name.startsWith(prefix))
      errors.push(
        invalidValue(
          at,
          name,
          `ClusterTrustBundle for signerName ${signerName} must be named with prefix ${prefix}`,
        ),
      )
    else errors.push(...check(at, name.slice(prefix.length), dnsSubdomain))
  }
  errors.push(...validateCertificates(trustBundle, spec.child('trustBundle')))
  return errors
}

/** Certificates and nothing else: no other blocks, nothing between them, none twice. */
function validateCertificates(pem: string, path: FieldPath): readonly FieldError[] {
  if (pem.length > MAX_BUNDLE_BYTES)
    return [invalidValue(path, '<value omitted>', `must be no more than ${MAX_BUNDLE_BYTES} bytes`)]
  const errors: FieldError[] = []
  const wrong = (why: string): void => void errors.push(invalidValue(path, '<value omitted>', why))
  const seen = new Set<string>()
  let count = 0
  for (const [, type = '', body = ''] of pem.matchAll(BLOCK)) {
    const content = body.replaceAll(/\s/g, '')
    if (type !== 'CERTIFICATE') wrong(`entry ${count} has bad block type: ${type}`)
    // The outermost of X.509 is a sequence of more than 127 bytes.
    else if (!content.startsWith('MII')) wrong(`entry ${count} does not parse as X.509`)
    if (seen.has(content)) wrong(`duplicate trust anchor (indices ${count})`)
    seen.add(content)
    count++
  }
  if (pem.replaceAll(BLOCK, '').trim() !== '')
    wrong('trust bundle has stray data between PEM blocks')
  if (count === 0) wrong('at least one trust anchor must be provided')
  return errors
}

export const validateBundleUpdate = (
  now: ClusterTrustBundle,
  old: ClusterTrustBundle,
): readonly FieldError[] =>
  (now.spec.signerName ?? '') === (old.spec.signerName ?? '')
    ? []
    : [invalidValue(spec.child('signerName'), now.spec.signerName, 'field is immutable')]

const KEY_TYPES = ['RSA3072', 'RSA4096', 'ECDSAP256', 'ECDSAP384', 'ECDSAP521', 'ED25519']
const HOUR = 3600
const LONGEST = 91 * 24 * HOUR
/** Kubernetes' own signers promise short lives. */
const LONGEST_OWN = 24 * HOUR

function validateLifetime(
  seconds: number | undefined,
  signerName: string | undefined,
  path: FieldPath,
): readonly FieldError[] {
  if (seconds === undefined) return []
  const most = signerName?.startsWith('kubernetes.io/') === true ? LONGEST_OWN : LONGEST
  if (seconds < HOUR)
    return [invalidValue(path, seconds, `if provided, maxExpirationSeconds must be >= ${HOUR}`)]
  if (seconds > most)
    return [invalidValue(path, seconds, `if provided, maxExpirationSeconds must be <= ${most}`)]
  return []
}

export function validatePodCertificate(
  source: PodCertificateProjection,
  path: FieldPath,
): readonly FieldError[] {
  const { signerName, maxExpirationSeconds } = source
  const keyType = (source.keyType as string | undefined) ?? ''
  const errors = [...validateSignerName(signerName, path.child('signerName'))]
  if (keyType === '') errors.push(required(path.child('keyType')))
  else if (!KEY_TYPES.includes(keyType))
    errors.push(notSupported(path.child('keyType'), keyType, KEY_TYPES))
  errors.push(
    ...validateLifetime(maxExpirationSeconds, signerName, path.child('maxExpirationSeconds')),
  )
  if (pathsOf(source).length === 0)
    errors.push(
      required(
        path,
        'specify at least one of credentialBundlePath, keyPath, and certificateChainPath',
      ),
    )
  return errors
}

/** The files that a source of certificates makes, by the field that names them. */
export const pathsOf = (source: PodCertificateProjection): readonly (readonly [string, string])[] =>
  (['credentialBundlePath', 'keyPath', 'certificateChainPath'] as const).flatMap((field) => {
    const file = source[field] ?? ''
    return file === '' ? [] : [[field, file] as const]
  })

export function validateBundleSource(
  source: ClusterTrustBundleProjection,
  path: FieldPath,
): readonly FieldError[] {
  const { name, signerName, labelSelector } = source
  const errors: FieldError[] = []
  if (name !== undefined && signerName !== undefined)
    errors.push(invalidValue(path, source, 'only one of name and signerName may be used'))
  else if (name === undefined && signerName === undefined)
    errors.push(required(path, 'either name or signerName must be specified'))
  if (name === '') errors.push(required(path.child('name'), 'must be nonempty'))
  if (name !== undefined && (labelSelector as LabelSelectorLike | undefined) !== undefined)
    errors.push(
      invalidValue(
        path.child('labelSelector'),
        labelSelector,
        'labelSelector must be unset if name is specified',
      ),
    )
  if (signerName !== undefined)
    errors.push(...validateSignerName(signerName, path.child('signerName')))
  if (((source.path as string | undefined) ?? '') === '')
    errors.push(required(path.child('path'), ''))
  return errors
}

export function validateCertificateRequest({
  spec: own,
}: PodCertificateRequest): readonly FieldError[] {
  return [
    ...validateSignerName(own.signerName, spec.child('signerName')),
    ...validateLifetime(
      own.maxExpirationSeconds,
      own.signerName,
      spec.child('maxExpirationSeconds'),
    ),
  ]
}

/** What was asked for stays; a request is only answered. */
export const validateCertificateRequestUpdate = (
  now: PodCertificateRequest,
  old: PodCertificateRequest,
): readonly FieldError[] =>
  equal(now.spec, old.spec) ? [] : [invalidValue(spec, now.spec, 'field is immutable')]
