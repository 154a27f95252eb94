/** Asks one webhook about one request. */
import type { MutatingWebhook, ValidatingWebhook } from '#api'
import type { Env } from '#base'
import type { JsonObject } from '#machinery'
import type { AdmissionRequest } from '../../admission.ts'
import { WebhookCallError, type CallWebhook } from '../../webhook-client/index.ts'
import type { View } from '../dynamic/view.ts'
import { WebhookFailure, denied, noDryRun } from './errors.ts'
import { InvalidAnswer, reviewOf, reviewVersion, verdictOf, type Verdict } from './review.ts'

export type Webhook = MutatingWebhook | ValidatingWebhook

export interface Asking {
  readonly env: Pick<Env, 'clock' | 'random' | 'log' | 'metrics'>
  readonly call: CallWebhook
}

const TIMEOUT_SECONDS = 10

/** The answer when it allows the request. Throws the refusal, or a `WebhookFailure`. */
export async function ask(
  { env, call }: Asking,
  webhook: Webhook,
  request: AdmissionRequest,
  view: View,
  traceparent?: string,
): Promise<Verdict> {
  const { name, sideEffects, timeoutSeconds = TIMEOUT_SECONDS } = webhook
  if (request.dryRun && sideEffects !== 'None' && sideEffects !== 'NoneOnDryRun')
    throw noDryRun(name)
  const version = reviewVersion(webhook.admissionReviewVersions)
  if (version === undefined)
    throw new WebhookFailure(
      name,
      'could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)',
    )
  const uid = env.random.uuid()
  let review: JsonObject
  try {
    review = await call(webhook.clientConfig, reviewOf(request, view, version, uid), {
      timeoutMs: timeoutFor(timeoutSeconds * 1000, request, env),
      signal: request.signal,
      ...(traceparent === undefined ? {} : { traceparent }),
    })
  } catch (error) {
    if (!(error instanceof WebhookCallError)) throw error
    throw new WebhookFailure(name, `failed to call webhook: ${error.message}`)
  }
  const verdict = checked(name, review, version, uid)
  for (const [key, value] of Object.entries(verdict.auditAnnotations))
    request.annotate(`${name}/${key}`, value)
  for (const text of verdict.warnings) request.warn(text)
  if (!verdict.allowed) throw denied(name, verdict.status)
  return verdict
}

/** What the webhook may take, and no more than is left of the request's own time. */
const timeoutFor = (
  allowedMs: number,
  { deadline = Infinity }: AdmissionRequest,
  { clock }: Pick<Env, 'clock'>,
): number => Math.max(1, Math.min(allowedMs, deadline - clock.monotonic()))

function checked(name: string, review: JsonObject, version: string, uid: string): Verdict {
  try {
    return verdictOf(review, version, uid)
  } catch (error) {
    if (!(error instanceof InvalidAnswer)) throw error
    throw new WebhookFailure(name, `received invalid webhook response: ${error.message}`)
  }
}
