/** MutatingAdmissionPolicy (KEP-3962): objects are changed by expressions. */
import {
  mutatingAdmissionPolicies,
  mutatingAdmissionPolicyBindings,
  toWireForm,
  type MutatingAdmissionPolicy,
  type MutatingAdmissionPolicyBinding,
} from '#api'
import { CelError, celToJson } from '#cel'
import {
  StatusError,
  applyJsonPatch,
  type JsonObject,
  type KubeObject,
  type ResourceDefinition,
} from '#machinery'
import type { AdmissionPlugin, AdmissionRequest } from '../../admission.ts'
import { copyJson, isObject, sameJson } from '../../json.ts'
import type { ServerInside } from '../../inside.ts'
import { conditionsMatch } from '../dynamic/conditions.ts'
import type { Expression } from '../dynamic/expressions.ts'
import { isUnjudged } from '../dynamic/match.ts'
import { Reinvocation } from '../dynamic/reinvocation.ts'
import { Variables } from '../dynamic/variables.ts'
import { accept, viewOf } from '../dynamic/view.ts'
import { boundTo, type Inside } from './bound.ts'
import { compiledMutating } from './compile.ts'
import { activation, budgetsFor, type PolicyAdmission } from './values.ts'
import { MutationError, checkTypeNames } from './type-names.ts'
import { failed, type Denial } from './verdicts.ts'

export interface MutatingPolicyOptions extends PolicyAdmission {
  readonly inside: Inside & Pick<ServerInside, 'merge'>
}

interface Invocation {
  readonly policy: MutatingAdmissionPolicy
  readonly binding: MutatingAdmissionPolicyBinding
  readonly definition: ResourceDefinition
  readonly params: KubeObject | undefined
}

export function mutatingPolicies(options: MutatingPolicyOptions): AdmissionPlugin {
  const { inside } = options
  const { read } = inside
  const reinvocation = new Reinvocation()
  return {
    name: 'MutatingAdmissionPolicy',
    handles: (request) =>
      read.list(mutatingAdmissionPolicyBindings).length > 0 && !isUnjudged(request),
    async mutate(request) {
      if (request.object === undefined) return
      const memory = reinvocation.begin(request)
      const denials: Denial[] = []
      const all = boundTo(
        inside,
        request,
        read.list(mutatingAdmissionPolicies),
        read.list(mutatingAdmissionPolicyBindings),
      )
      for (const bound of all) {
        const { policy, binding } = bound
        const deny = (message: string, reason?: string): void => {
          if (policy.spec.failurePolicy === 'Ignore') return
          const names = { policy: policy.metadata.name, binding: binding?.metadata.name }
          denials.push({ ...names, message, ...(reason === undefined ? {} : { reason }) })
        }
        if (bound.error !== undefined) {
          deny(bound.error)
          continue
        }
        for (const params of bound.params) {
          const key = [
            policy.metadata.name,
            bound.binding.metadata.name,
            params?.metadata.uid ?? '',
          ].join('/')
          if (!memory.isDue(key)) continue
          const before = copyJson(request.object)
          await invoke(options, request, { ...bound, params }, (why) => deny(why, 'Invalid'))
          memory.done(key, {
            changed: !sameJson(before, request.object),
            mayRunAgain: policy.spec.reinvocationPolicy === 'IfNeeded',
          })
        }
      }
      memory.end()
      if (denials.length > 0) throw failed(request, denials)
    },
  }
}

/** The mutations of one policy, each upon what the one before has made. */
async function invoke(
  options: MutatingPolicyOptions,
  request: AdmissionRequest,
  { policy, definition, params }: Invocation,
  deny: (why: string) => void,
): Promise<void> {
  const { conditions, variables, mutations } = compiledMutating(policy)
  const { conditions: forConditions, validations: budget } = budgetsFor(options, request)
  const first = activation(options, request, await viewOf(request, definition), params)
  const matched = await conditionsMatch(
    conditions,
    new Variables(variables, first, forConditions).values,
    forConditions,
  )
  if (matched.matches === undefined) deny(matched.error)
  if (matched.matches !== true) return
  for (const [i, expression] of mutations.entries()) {
    const view = await viewOf(request, definition)
    if (view.object === undefined) return
    const values = new Variables(variables, activation(options, request, view, params), budget)
      .values
    try {
      const result = await expression.evaluateAsync(values, budget)
      checkTypeNames(result)
      const made = celToJson(result)
      const isPatch = policy.spec.mutations?.[i]?.patchType === 'JSONPatch'
      const next = isPatch
        ? patched(view.object, made)
        : applied(options, definition, view.object, made, expression)
      await accept(request, definition, copyJson(next))
    } catch (error) {
      if (
        error instanceof CelError ||
        error instanceof StatusError ||
        error instanceof MutationError
      )
        deny(error.message)
      else throw error
    }
  }
}

function patched(object: JsonObject, operations: unknown): JsonObject {
  const next = applyJsonPatch(toWireForm(object), operations)
  if (!isObject(next)) throw new MutationError('the patched document is not an object')
  return next
}

function applied(
  { inside }: MutatingPolicyOptions,
  definition: ResourceDefinition,
  object: JsonObject,
  made: unknown,
  { source }: Expression,
): JsonObject {
  if (!isObject(made))
    throw new MutationError(`expression '${source}' resulted in error: not an Object`)
  try {
    return inside.merge(definition, object, made)
  } catch (error) {
    throw new MutationError(
      `error applying patch: invalid ApplyConfiguration: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
}
