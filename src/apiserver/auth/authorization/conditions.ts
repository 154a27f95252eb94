/** Match conditions of an authorization webhook: CEL over the review that it would be sent. */
import { CelError, compileCel, objectOf as fields } from '#cel'
import type { JsonObject } from '#machinery'

export type Matched = 'yes' | 'no' | { readonly error: string }

const text = { type: 'string' }
const texts = { type: 'array', items: text }
const requirement = fields({ key: text, operator: text, values: texts })
const selector = fields({
  rawSelector: text,
  requirements: { type: 'array', items: requirement },
})

/** SubjectAccessReviewSpec of authorization.k8s.io/v1. */
const SCHEMA: JsonObject = fields({
  resourceAttributes: fields({
    namespace: text,
    verb: text,
    group: text,
    version: text,
    resource: text,
    subresource: text,
    name: text,
    fieldSelector: selector,
    labelSelector: selector,
  }),
  nonResourceAttributes: fields({ path: text, verb: text }),
  user: text,
  groups: texts,
  extra: { type: 'object', additionalProperties: texts },
  uid: text,
})
const PER_CALL = 1_000_000
const PER_REQUEST = 2_500_000

/** Throws an Error that names the expression that does not compile. */
export function matcher(sources: readonly string[]): (review: JsonObject) => Matched {
  const programs = sources.map((source, i) => {
    const program = compileCel(source, {
      variables: { request: { schema: SCHEMA } },
      returns: 'bool',
    })
    if ('failure' in program)
      throw new Error(`matchConditions[${i}].expression: ${source}: ${program.failure}`)
    return program
  })
  return (review) => {
    const budget = { perCall: PER_CALL, remaining: PER_REQUEST }
    const errors: string[] = []
    // One that is false decides, also when another one fails.
    for (const program of programs)
      try {
        if (program.evaluate({ request: completed(review) }, budget).value !== true) return 'no'
      } catch (error) {
        if (!(error instanceof CelError)) throw error
        errors.push(error.message)
      }
    return errors.length === 0 ? 'yes' : { error: errors.join(', ') }
  }
}

/** Texts that say nothing are there as well: expressions compare them without `has`. */
function completed(review: JsonObject): JsonObject {
  const { resourceAttributes, nonResourceAttributes, ...who } = review as {
    resourceAttributes?: JsonObject
    nonResourceAttributes?: JsonObject
  }
  return {
    user: '',
    uid: '',
    groups: [],
    extra: {},
    ...who,
    ...(resourceAttributes === undefined
      ? {}
      : {
          resourceAttributes: {
            namespace: '',
            verb: '',
            group: '',
            version: '',
            resource: '',
            subresource: '',
            name: '',
            ...resourceAttributes,
          },
        }),
    ...(nonResourceAttributes === undefined
      ? {}
      : { nonResourceAttributes: { path: '', verb: '', ...nonResourceAttributes } }),
  }
}
