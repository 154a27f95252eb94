/** Rules for the webhooks of a configuration. */
import {
  FieldPath,
  duplicate,
  invalidValue,
  notSupported,
  required,
  type FieldError,
} from '#machinery'
import { check, dns1035Label, dnsSubdomain, portNumber, validateLabelSelector } from '../rules.ts'
import type { MutatingWebhook, ServiceReference, ValidatingWebhook } from '../types.gen.ts'
import { validateConditions, validateRule } from './match.ts'

export type Webhook = ValidatingWebhook | MutatingWebhook

const MAX_TIMEOUT_SECONDS = 30
const QUIET_EFFECTS = ['None', 'NoneOnDryRun']
const REVIEW_VERSIONS = ['v1', 'v1beta1']

export function validateWebhooks(webhooks: readonly Webhook[]): readonly FieldError[] {
  const errors: FieldError[] = []
  const names = new Set<string>()
  for (const [i, webhook] of webhooks.entries()) {
    const at = FieldPath.of('webhooks').index(i)
    errors.push(...validateWebhook(webhook, at))
    if (names.has(webhook.name)) errors.push(duplicate(at.child('name'), webhook.name))
    names.add(webhook.name)
  }
  return errors
}

function validateVersions(versions: readonly string[], path: FieldPath): readonly FieldError[] {
  const known = REVIEW_VERSIONS.join(', ')
  if (versions.length === 0) return [required(path, `must specify one of ${known}`)]
  const errors = versions.flatMap((version, i): readonly FieldError[] =>
    versions.indexOf(version) < i
      ? [invalidValue(path.index(i), version, 'duplicate version')]
      : check(path.index(i), version, dns1035Label),
  )
  return versions.some((version) => REVIEW_VERSIONS.includes(version))
    ? errors
    : [...errors, invalidValue(path, versions, `must include at least one of ${known}`)]
}

function validateWebhook(webhook: Webhook, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const { name, clientConfig, admissionReviewVersions: versions, timeoutSeconds: seconds } = webhook
  if (name === '') errors.push(required(path.child('name')))
  else {
    const wrong = check(path.child('name'), name, dnsSubdomain)
    errors.push(...wrong)
    if (wrong.length === 0 && name.split('.').length < 3)
      errors.push(
        invalidValue(
          path.child('name'),
          name,
          'should be a domain with at least three segments separated by dots',
        ),
      )
  }
  errors.push(...validateVersions(versions, path.child('admissionReviewVersions')))
  for (const [i, rule] of (webhook.rules ?? []).entries())
    errors.push(...validateRule(rule, path.child('rules').index(i)))
  const effects: string | undefined = webhook.sideEffects
  if (effects === undefined || effects === '')
    errors.push(required(path.child('sideEffects'), 'must specify one of None, NoneOnDryRun'))
  else if (!QUIET_EFFECTS.includes(effects))
    errors.push(notSupported(path.child('sideEffects'), effects, QUIET_EFFECTS))
  if (seconds !== undefined && (seconds < 1 || seconds > MAX_TIMEOUT_SECONDS))
    errors.push(
      invalidValue(
        path.child('timeoutSeconds'),
        seconds,
        `the timeout value must be between 1 and ${MAX_TIMEOUT_SECONDS} seconds`,
      ),
    )
  errors.push(...validateLabelSelector(webhook.namespaceSelector, path.child('namespaceSelector')))
  errors.push(...validateLabelSelector(webhook.objectSelector, path.child('objectSelector')))
  const client = path.child('clientConfig')
  const { url, service } = clientConfig ?? {}
  if ((url === undefined) === (service === undefined))
    errors.push(required(client, 'exactly one of url or service is required'))
  else if (url !== undefined) errors.push(...validateUrl(url, client.child('url')))
  else if (service !== undefined) errors.push(...validateService(service, client.child('service')))
  errors.push(...validateConditions(webhook.matchConditions ?? [], path.child('matchConditions')))
  return errors
}

function validateService(
  { name, namespace, path: urlPath = '', port = 443 }: ServiceReference,
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  if ((name ?? '') === '') errors.push(required(path.child('name')))
  if ((namespace ?? '') === '') errors.push(required(path.child('namespace')))
  for (const why of portNumber(port))
    errors.push(invalidValue(path.child('port'), port, `port is not valid: ${why}`))
  return [...errors, ...validatePath(urlPath, path.child('path'))]
}

function validatePath(urlPath: string, path: FieldPath): readonly FieldError[] {
  const wrong = (why: string): FieldError => invalidValue(path, urlPath, why)
  if (urlPath === '' || urlPath === '/') return []
  if (urlPath === '//') return [wrong('segment[0] may not be empty')]
  const errors = urlPath.startsWith('/') ? [] : [wrong("must start with a '/'")]
  const steps = urlPath.slice(1).replace(/\/$/, '').split('/')
  return [
    ...errors,
    ...steps.flatMap((step, i) =>
      step === ''
        ? [wrong(`segment[${i}] may not be empty`)]
        : dnsSubdomain(step).map((why) => wrong(`segment[${i}]: ${why}`)),
    ),
  ]
}

function validateUrl(url: string, path: FieldPath): readonly FieldError[] {
  const form = '; desired format: https://host[/path]'
  let parsed: URL
  try {
    parsed = new URL(url)
  } catch {
    return [required(path, `url must be a valid URL: ${JSON.stringify(url)}${form}`)]
  }
  const { protocol, host, username, hash, search } = parsed
  const wrong = (value: string, why: string): FieldError => invalidValue(path, value, why)
  return [
    ...(protocol === 'https:'
      ? []
      : [wrong(protocol.slice(0, -1), `'https' is the only allowed URL scheme${form}`)]),
    ...(host === '' ? [wrong(host, `host must be specified${form}`)] : []),
    ...(username === '' ? [] : [wrong(username, 'user information is not permitted in the URL')]),
    ...(hash === '' ? [] : [wrong(hash.slice(1), 'fragments are not permitted in the URL')]),
    ...(search === ''
      ? []
      : [wrong(search.slice(1), 'query parameters are not permitted in the URL')]),
  ]
}
