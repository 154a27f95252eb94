/** Admission webhooks: others who are asked before a write, and who may change it on the way. */
import {
  mutatingWebhookConfigurations,
  validatingWebhookConfigurations,
  type MutatingWebhook,
  type ValidatingWebhook,
} from '#api'
import { applyJsonPatch, internalError, type JsonObject, type ResourceDefinition } from '#machinery'
import type { AdmissionPlugin, AdmissionRequest } from '../../admission.ts'
import { copyJson, isObject, sameJson } from '../../json.ts'
import type { ServerInside } from '../../server.ts'
import { isExempt, matchingDefinition } from '../dynamic/match.ts'
import { accept, viewOf } from '../dynamic/view.ts'
import { ask, type Asking, type Webhook } from './ask.ts'
import { WebhookFailure, cannotModify, failed, requestEnded } from './errors.ts'

export interface WebhookAdmission extends Asking {
  readonly inside: Pick<ServerInside, 'read' | 'definitions'>
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

/** The version in which the hook wants to see the request; undefined when it does not want to. */
const wanted = (
  { inside }: WebhookAdmission,
  request: AdmissionRequest,
  webhook: Webhook,
): ResourceDefinition | undefined =>
  matchingDefinition(inside, request, {
    rules: webhook.rules ?? [],
    matchPolicy: webhook.matchPolicy ?? 'Equivalent',
    namespaceSelector: webhook.namespaceSelector,
    objectSelector: webhook.objectSelector,
  })

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

/** What is remembered between the two rounds of a request. */
interface Memory {
  /** The object as the last of the first round left it. */
  output: JsonObject | undefined
  /** Those who want to look again when somebody after them has changed the object. */
  readonly reinvocable: Set<string>
  readonly toReinvoke: Set<string>
}

export function mutatingWebhooks(options: WebhookAdmission): AdmissionPlugin {
  const { read } = options.inside
  const memories = new WeakMap<AdmissionRequest, Memory>()
  return {
    name: 'MutatingAdmissionWebhook',
    handles: (request) => read.list(mutatingWebhookConfigurations).length > 0 && !isExempt(request),
    async mutate(request) {
      const { rounds, object } = request
      const memory = memories.get(request) ?? {
        output: undefined,
        reinvocable: new Set<string>(),
        toReinvoke: new Set<string>(),
      }
      memories.set(request, memory)
      const requireAll = (): void => {
        for (const key of memory.reinvocable) memory.toReinvoke.add(key)
        memory.reinvocable.clear()
      }
      if (rounds.isSecond && !sameJson(object, memory.output)) requireAll()
      for (const hook of hooksOf(read.list(mutatingWebhookConfigurations))) {
        const key = `${hook.configuration}/${hook.webhook.name}`
        if (rounds.isSecond && !memory.toReinvoke.has(key)) continue
        const definition = wanted(options, request, hook.webhook)
        if (definition === undefined) continue
        if (await mutateBy(options, request, hook, definition)) {
          requireAll()
          rounds.again = true
        }
        if (hook.webhook.reinvocationPolicy === 'IfNeeded') memory.reinvocable.add(key)
      }
      memory.output = object === undefined ? undefined : copyJson(object)
    },
  }
}

/** True when the object is another one now. */
async function mutateBy(
  options: WebhookAdmission,
  request: AdmissionRequest,
  { webhook, configuration, index }: Hook<MutatingWebhook>,
  definition: ResourceDefinition,
): Promise<boolean> {
  const place = `round_${request.rounds.isSecond ? 1 : 0}_index_${index}`
  const view = await viewOf(request, definition)
  let mutated = false
  try {
    const { patch } = await ask(options, webhook, request, view)
    if (patch !== undefined && !isEmpty(patch)) {
      if (view.object === undefined) throw cannotModify(webhook.name)
      mutated = await patchBy(request, definition, view.object, patch)
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

const isEmpty = (patch: unknown): boolean => Array.isArray(patch) && patch.length === 0

async function patchBy(
  request: AdmissionRequest,
  definition: ResourceDefinition,
  shown: JsonObject,
  patch: unknown,
): Promise<boolean> {
  const before = copyJson(request.object)
  try {
    const next = applyJsonPatch(shown, patch)
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
  return {
    name: 'ValidatingAdmissionWebhook',
    handles: (request) =>
      read.list(validatingWebhookConfigurations).length > 0 && !isExempt(request),
    async validate(request) {
      const asked = hooksOf<ValidatingWebhook>(read.list(validatingWebhookConfigurations)).flatMap(
        (hook) => {
          const definition = wanted(options, request, hook.webhook)
          return definition === undefined ? [] : [{ ...hook, definition }]
        },
      )
      // All at once; of several refusals the first configuration's is told.
      const answers = await Promise.allSettled(
        asked.map(async ({ webhook, index, definition }) => {
          try {
            await ask(options, webhook, request, await viewOf(request, definition))
          } catch (error) {
            const place = `round_0_index_${index}`
            passOver(
              options,
              request,
              webhook,
              error,
              `failed-open.validating.webhook.admission.k8s.io/${place}`,
            )
          }
        }),
      )
      const refusal = answers.find((answer) => answer.status === 'rejected')
      if (refusal !== undefined) throw refusal.reason
    },
  }
}
