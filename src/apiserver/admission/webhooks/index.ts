/** Admission webhooks: others who are asked before a write, and who may change it on the way. */
import {
  mutatingWebhookConfigurations,
  toWireForm,
  validatingWebhookConfigurations,
  type MutatingWebhook,
  type ValidatingWebhook,
} from '#api'
import { applyJsonPatch, internalError, type JsonObject, type ResourceDefinition } from '#machinery'
import type { Authorizer } from '../../access.ts'
import type { AdmissionPlugin, AdmissionRequest } from '../../admission.ts'
import { copyJson, isObject, sameJson } from '../../json.ts'
import type { ServerInside } from '../../inside.ts'
import { celAuthorizer, requestResource } from '../dynamic/authorizer.ts'
import { conditionExpressions, conditionsMatch, type Condition } from '../dynamic/conditions.ts'
import { WEBHOOK_ENVIRONMENT, newBudget } from '../dynamic/expressions.ts'
import { isExempt, matchingDefinition } from '../dynamic/match.ts'
import { Reinvocation } from '../dynamic/reinvocation.ts'
import { requestValue } from '../dynamic/request-value.ts'
import { accept, viewOf, type View } from '../dynamic/view.ts'
import { refuse } from '../words.ts'
import { ask, type Asking, type Webhook } from './ask.ts'
import { webhookMetrics, type WebhookMetrics } from './metrics.ts'
import { WebhookFailure, cannotModify, failed, requestEnded } from './errors.ts'

export interface WebhookAdmission extends Asking {
  readonly inside: Pick<ServerInside, 'read' | 'definitions'>
  readonly authorizer: Authorizer
}

interface Hook<T extends Webhook> {
  readonly webhook: T
  readonly configuration: string
  /** Its place among all of them, for audit annotations. */
  readonly index: number
}

/** Hooks by the name of their configuration, each configuration's in its own order. */
function hooksOf<T extends Webhook>(
  configurations: readonly {
    readonly metadata: { readonly name: string }
    readonly webhooks?: readonly T[]
  }[],
): readonly Hook<T>[] {
  return configurations
    .flatMap(({ metadata, webhooks = [] }) =>
      webhooks.map((webhook) => ({ webhook, configuration: metadata.name })),
    )
    .map((each, index) => ({ ...each, index }))
}

interface Wanted {
  /** The version in which the hook wants to see the request. */
  readonly definition: ResourceDefinition
  readonly view: View
}

/** Undefined when the hook has no interest in the request. Throws when that cannot be told. */
async function wanted(
  { inside, authorizer }: WebhookAdmission,
  request: AdmissionRequest,
  webhook: Webhook,
): Promise<Wanted | undefined> {
  const definition = matchingDefinition(inside, request, {
    rules: webhook.rules ?? [],
    matchPolicy: webhook.matchPolicy ?? 'Equivalent',
    namespaceSelector: webhook.namespaceSelector,
    objectSelector: webhook.objectSelector,
  })
  if (definition === undefined) return undefined
  const view = await viewOf(request, definition)
  const conditions = conditionsOf(webhook)
  if (conditions.length === 0) return { definition, view }
  const budget = newBudget('conditions', {
    authorizer: celAuthorizer(authorizer, request),
    requestResource: requestResource(request),
  })
  const values = {
    object: view.object ?? null,
    oldObject: view.old ?? null,
    request: requestValue(request, view),
  }
  const matched = await conditionsMatch(conditions, values, budget)
  if (matched.matches !== undefined) return matched.matches ? { definition, view } : undefined
  if (webhook.failurePolicy === 'Ignore') return undefined
  throw refuse(request, matched.error)
}

const compiled = new WeakMap<Webhook, readonly Condition[]>()
function conditionsOf(webhook: Webhook): readonly Condition[] {
  const { matchConditions = [] } = webhook
  if (matchConditions.length === 0) return []
  let found = compiled.get(webhook)
  if (found === undefined)
    compiled.set(webhook, (found = conditionExpressions(matchConditions, WEBHOOK_ENVIRONMENT)))
  return found
}

/** Whether the request goes on although the webhook could not be asked. Throws when it does not. */
function passOver(
  { env }: WebhookAdmission,
  request: AdmissionRequest,
  webhook: Webhook,
  error: unknown,
  annotation: string,
): void {
  if (!(error instanceof WebhookFailure)) throw error
  if (request.signal.aborted) throw requestEnded()
  if (webhook.failurePolicy !== 'Ignore') throw failed(error)
  env.log.warn('a webhook could not be asked, and its policy is to go on', {
    webhook: webhook.name,
    error: error.message,
  })
  request.annotate(annotation, webhook.name)
}

// --- Mutating ----------------------------------------------------------------------------------------

export function mutatingWebhooks(options: WebhookAdmission): AdmissionPlugin {
  const { read } = options.inside
  const metrics = webhookMetrics(options.env, 'admit')
  const reinvocation = new Reinvocation()
  return {
    name: 'MutatingAdmissionWebhook',
    handles: (request) => read.list(mutatingWebhookConfigurations).length > 0 && !isExempt(request),
    async mutate(request) {
      const round = reinvocation.begin(request)
      for (const hook of hooksOf(read.list(mutatingWebhookConfigurations))) {
        const key = `${hook.configuration}/${hook.webhook.name}`
        if (!round.isDue(key)) continue
        const asked = await wanted(options, request, hook.webhook)
        if (asked === undefined) continue
        const changed = await mutateBy({ ...options, metrics }, request, hook, asked)
        round.done(key, { changed, mayRunAgain: hook.webhook.reinvocationPolicy === 'IfNeeded' })
      }
      round.end()
    },
  }
}

/** True when the object is another one now. */
async function mutateBy(
  options: WebhookAdmission & { readonly metrics: WebhookMetrics },
  request: AdmissionRequest,
  { webhook, configuration, index }: Hook<MutatingWebhook>,
  { definition, view }: Wanted,
): Promise<boolean> {
  const place = `round_${request.rounds.isSecond ? 1 : 0}_index_${index}`
  let mutated = false
  try {
    const { patch } = await options.metrics.measure(webhook, request, (traceparent) =>
      ask(options, webhook, request, view, traceparent),
    )
    if (patch !== undefined && !isEmpty(patch)) {
      if (view.object === undefined) throw cannotModify(webhook.name)
      mutated = await patchBy(request, definition, view.object, patch)
      const said = { configuration, webhook: webhook.name, patch: inOrder(patch) }
      request.annotate(
        `patch.webhook.admission.k8s.io/${place}`,
        JSON.stringify({ ...said, patchType: 'JSONPatch' }),
      )
    }
  } catch (error) {
    passOver(
      options,
      request,
      webhook,
      error,
      `failed-open.mutation.webhook.admission.k8s.io/${place}`,
    )
    return false
  }
  request.annotate(
    `mutation.webhook.admission.k8s.io/${place}`,
    JSON.stringify({ configuration, webhook: webhook.name, mutated }),
  )
  return mutated
}

/** Operations with their members in the order of their names, as upstream writes them down. */
const inOrder = (patch: unknown): unknown =>
  Array.isArray(patch)
    ? patch.map((operation: unknown) =>
        isObject(operation)
          ? Object.fromEntries(Object.entries(operation).toSorted(([a], [b]) => (a < b ? -1 : 1)))
          : operation,
      )
    : patch

const isEmpty = (patch: unknown): boolean => Array.isArray(patch) && patch.length === 0

async function patchBy(
  request: AdmissionRequest,
  definition: ResourceDefinition,
  shown: JsonObject,
  patch: unknown,
): Promise<boolean> {
  const before = copyJson(request.object)
  try {
    const next = applyJsonPatch(toWireForm(shown), patch)
    if (!isObject(next)) throw new Error('the patched document is not an object')
    await accept(request, definition, copyJson(next))
  } catch (error) {
    throw internalError(error instanceof Error ? error.message : String(error))
  }
  return !sameJson(before, request.object)
}

// --- Validating --------------------------------------------------------------------------------------

export function validatingWebhooks(options: WebhookAdmission): AdmissionPlugin {
  const { read } = options.inside
  const metrics = webhookMetrics(options.env, 'validating')
  return {
    name: 'ValidatingAdmissionWebhook',
    handles: (request) =>
      read.list(validatingWebhookConfigurations).length > 0 && !isExempt(request),
    async validate(request) {
      const asked: (Hook<ValidatingWebhook> & Wanted)[] = []
      for (const hook of hooksOf(read.list(validatingWebhookConfigurations))) {
        const found = await wanted(options, request, hook.webhook)
        if (found !== undefined) asked.push({ ...hook, ...found })
      }
      // All at once; of several refusals the first configuration's is told.
      const answers = await Promise.allSettled(
        asked.map(async ({ webhook, index, view }) => {
          try {
            await metrics.measure(webhook, request, (traceparent) =>
              ask(options, webhook, request, view, traceparent),
            )
          } catch (error) {
            const annotation = `failed-open.validating.webhook.admission.k8s.io/round_0_index_${index}`
            passOver(options, request, webhook, error, annotation)
          }
        }),
      )
      const refusal = answers.find((answer) => answer.status === 'rejected')
      if (refusal !== undefined) throw refusal.reason
    },
  }
}
