/** How a definition may convert its objects between versions. */
import { X509Certificate } from 'node:crypto'
import type { CustomResourceDefinition } from '#api'
import {
  FieldPath,
  dns1035Label,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
  type FieldError,
} from '#machinery'

const REVIEW_VERSIONS = ['v1', 'v1beta1']

/** What is wrong with how a definition converts its objects. */
export function conversionProblems(
  { conversion, preserveUnknownFields = false }: CustomResourceDefinition['spec'],
  { trustsBundle }: { readonly trustsBundle: boolean },
): readonly FieldError[] {
  if (conversion === undefined) return []
  const at = FieldPath.of('spec', 'conversion')
  const needsPruning = 'must be None if spec.preserveUnknownFields is true'
  const errors: FieldError[] = [
    ...(preserveUnknownFields && conversion.strategy !== 'None'
      ? [invalidValue(at.child('strategy'), conversion.strategy, needsPruning)]
      : []),
    ...acceptedWord(at.child('strategy'), conversion.strategy, ['None', 'Webhook']),
  ]
  const { clientConfig: client, conversionReviewVersions: reviews = [] } = conversion.webhook ?? {}
  // Upstream judges the older form, whose fields lie one level higher.
  const where = at.child('webhookClientConfig')
  const reviewsPath = at.child('conversionReviewVersions')
  if (conversion.strategy !== 'Webhook') {
    const misplaced = 'should not be set when strategy is not set to Webhook'
    if (client !== undefined) errors.push(forbiddenField(where, misplaced))
    if (reviews.length > 0) errors.push(forbiddenField(reviewsPath, misplaced))
    return errors
  }
  if (client === undefined) errors.push(required(where, 'required when strategy is set to Webhook'))
  else {
    if ((client.url === undefined) === (client.service === undefined))
      errors.push(required(where, 'exactly one of url or service is required'))
    else if (client.url !== undefined) errors.push(...urlProblems(client.url, where.child('url')))
    else errors.push(...serviceProblems(client.service, where.child('service')))
    if ((client.caBundle ?? '') !== '' && !trustsBundle)
      errors.push(...bundleProblems(client.caBundle ?? '', where.child('caBundle')))
  }
  return [...errors, ...reviewProblems(reviews, reviewsPath)]
}

function urlProblems(text: string, path: FieldPath): readonly FieldError[] {
  const form = '; desired format: https://host[/path]'
  let url: URL
  try {
    url = new URL(text)
  } catch {
    return [required(path, `url must be a valid URL: parse ${JSON.stringify(text)}${form}`)]
  }
  const errors: FieldError[] = []
  if (url.protocol !== 'https:')
    errors.push(
      invalidValue(
        path,
        url.protocol.slice(0, -1),
        `'https' is the only allowed URL scheme${form}`,
      ),
    )
  if (url.host === '') errors.push(invalidValue(path, url.host, `host must be specified${form}`))
  if (url.username !== '')
    errors.push(invalidValue(path, url.username, `user information is not permitted in the URL`))
  if (url.hash !== '')
    errors.push(invalidValue(path, url.hash.slice(1), 'fragments are not permitted in the URL'))
  if (url.search !== '')
    errors.push(
      invalidValue(path, url.search.slice(1), 'query parameters are not permitted in the URL'),
    )
  return errors
}

function serviceProblems(
  service: { name?: string; namespace?: string; path?: string; port?: number } | undefined,
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  if ((service?.name ?? '') === '') errors.push(required(path.child('name')))
  if ((service?.namespace ?? '') === '') errors.push(required(path.child('namespace')))
  const { port = 443, path: url = '' } = service ?? {}
  if (port < 1 || port > 65_535)
    errors.push(
      invalidValue(
        path.child('port'),
        port,
        'port is not valid: must be between 1 and 65535, inclusive',
      ),
    )
  if (url !== '' && !url.startsWith('/'))
    errors.push(invalidValue(path.child('path'), url, "must start with a '/'"))
  return errors
}

/** Whether webhooks that convert could never be trusted: such a definition is taken, and not served. */
export function hasBadBundle({ conversion }: CustomResourceDefinition['spec']): boolean {
  const bundle = conversion?.webhook?.clientConfig?.caBundle ?? ''
  return bundle !== '' && bundleProblems(bundle, FieldPath.of('caBundle')).length > 0
}

function bundleProblems(bundle: string, path: FieldPath): readonly FieldError[] {
  const text = Buffer.from(bundle, 'base64').toString('latin1')
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/g) ?? []
  try {
    if (blocks.length === 0)
      throw new Error('data does not contain any valid RSA or ECDSA certificates')
    for (const block of blocks) void new X509Certificate(block)
    return []
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    return [invalidValue(path, bundle, `unable to load root certificates: ${why}`)]
  }
}

function reviewProblems(versions: readonly string[], path: FieldPath): readonly FieldError[] {
  if (versions.length === 0) return [required(path)]
  const errors = versions.flatMap((version, i) =>
    versions.indexOf(version) < i
      ? [invalidValue(path.index(i), version, 'duplicate version')]
      : dns1035Label(version).map((why) => invalidValue(path.index(i), version, why)),
  )
  if (!versions.some((version) => REVIEW_VERSIONS.includes(version)))
    errors.push(
      invalidValue(path, versions, `must include at least one of ${REVIEW_VERSIONS.join(', ')}`),
    )
  return errors
}

/** One of a few words, which may not be empty. */
export const acceptedWord = (
  path: FieldPath,
  value: string,
  accepted: readonly string[],
): readonly FieldError[] =>
  value === ''
    ? [required(path)]
    : accepted.includes(value)
      ? []
      : [notSupported(path, value, accepted)]
