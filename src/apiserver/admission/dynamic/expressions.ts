/** Expressions of webhooks and policies: what they can name, and how they are carried out. */
import { CelError, compileCel, type CelBudget, type CelDeclaration, type CelValue } from '#cel'
import type { JsonObject } from '#machinery'
import { NAMESPACE_SCHEMA, REQUEST_SCHEMA } from './request-value.ts'

export interface Environment {
  /** Of `object` and `oldObject`. */
  readonly object: CelDeclaration
  readonly params?: CelDeclaration
  readonly namespaceObject?: boolean
  readonly authorizer?: boolean
  /** Schemas of the variables by name: `{}` for those of which nothing is known. */
  readonly variables?: JsonObject
  /** Whether `Object{…}` and `JSONPatch{…}` may be built. */
  readonly mutates?: boolean
}

/** What the conditions of webhooks can name. */
export const WEBHOOK_ENVIRONMENT: Environment = { object: 'dyn', authorizer: true }

/** What the names stand for. */
export type Activation = Readonly<Record<string, unknown>>

export interface Expression {
  readonly source: string
  /** As cel-go writes the type of its result; `dyn` when it cannot be compiled. */
  readonly returns: string
  /** Why it cannot be compiled. */
  readonly failure: string | undefined
  /** The result as expressions know it. Throws a `CelError`. */
  evaluate(values: Activation, budget: CelBudget): CelValue
  /** The same, where the authorizer may be asked. */
  evaluateAsync(values: Activation, budget: CelBudget): Promise<CelValue>
}

const REQUEST = { schema: REQUEST_SCHEMA, name: 'kubernetes.AdmissionRequest' }
const NAMESPACE = { schema: NAMESPACE_SCHEMA, name: 'kubernetes.Namespace' }

const declarations = ({
  object,
  params,
  namespaceObject = false,
  authorizer = false,
  variables,
}: Environment): Readonly<Record<string, CelDeclaration>> => ({
  object,
  oldObject: object,
  request: REQUEST,
  ...(params === undefined ? {} : { params }),
  ...(namespaceObject ? { namespaceObject: NAMESPACE } : {}),
  ...(authorizer ? { authorizer: 'authorizer' } : {}),
  ...(variables === undefined
    ? {}
    : {
        variables: {
          schema: { type: 'object', properties: variables },
          name: 'kubernetes.variables',
        },
      }),
})

export function expression(
  source: string,
  environment: Environment,
  returns?: string | readonly string[],
): Expression {
  const program = compileCel(source, {
    variables: declarations(environment),
    ...(returns === undefined ? {} : { returns }),
    ...(environment.mutates === true ? { mutates: true } : {}),
  })
  if ('failure' in program) {
    const { failure } = program
    const fail = (): never => {
      throw new CelError(`compilation error: ${failure}`)
    }
    return { source, returns: 'dyn', failure, evaluate: fail, evaluateAsync: async () => fail() }
  }
  return {
    source,
    returns: program.returns,
    failure: undefined,
    evaluate(values, budget) {
      try {
        return program.evaluate(values, budget).raw
      } catch (error) {
        throw told(source, error)
      }
    },
    async evaluateAsync(values, budget) {
      try {
        return (await program.evaluateAsync(values, budget)).raw
      } catch (error) {
        throw told(source, error)
      }
    },
  }
}

const told = (source: string, error: unknown): unknown =>
  error instanceof CelError
    ? new CelError(`expression '${source}' resulted in error: ${error.message}`)
    : error

/** The schema of a value whose type is written so: what is no plain type is anything. */
export function schemaOf(returns: string): JsonObject {
  switch (returns) {
    case 'bool':
      return { type: 'boolean' }
    case 'int':
      return { type: 'integer' }
    case 'double':
      return { type: 'number' }
    case 'string':
      return { type: 'string' }
    case 'google.protobuf.Timestamp':
      return { type: 'string', format: 'date-time' }
    case 'google.protobuf.Duration':
      return { type: 'string', format: 'duration' }
    default:
      return {}
  }
}

/** Costs of cel-go's units: of one expression, of all that one evaluation of a policy or a webhook's conditions have. */
const PER_CALL = 1_000_000
const POLICY = 10_000_000
const CONDITIONS = POLICY / 4

export const newBudget = (
  purpose: 'policy' | 'conditions',
  more: Pick<CelBudget, 'authorizer' | 'requestResource'> = {},
): CelBudget => ({
  perCall: PER_CALL,
  remaining: purpose === 'policy' ? POLICY : CONDITIONS,
  ...more,
})
