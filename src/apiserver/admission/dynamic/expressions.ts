/** Expressions of webhooks and policies: what they can name, and how they are carried out. */
import { CelError, compileCel, type CelBudget, type CelDeclaration } from '#cel'
import { NAMESPACE_SCHEMA, REQUEST_SCHEMA } from './request-value.ts'

export interface Environment {
  /** Of `object` and `oldObject`. */
  readonly object: CelDeclaration
  readonly params?: CelDeclaration
  readonly namespaceObject?: boolean
  readonly authorizer?: boolean
  readonly variables?: Readonly<Record<string, CelDeclaration>>
  /** Whether `Object{…}` and `JSONPatch{…}` may be built. */
  readonly mutates?: boolean
}

/** What the conditions of webhooks can name. */
export const WEBHOOK_ENVIRONMENT: Environment = { object: 'dyn', authorizer: true }

/** What the names stand for. */
export type Activation = Readonly<Record<string, unknown>>

export interface Expression {
  readonly source: string
  /** Of its result; `dyn` when it cannot be compiled. */
  readonly type: CelDeclaration
  /** Why it cannot be compiled. */
  readonly failure: string | undefined
  /** The result as expressions know it. Throws a `CelError`. */
  evaluate(values: Activation, budget: CelBudget): unknown
  /** The same, where the authorizer may be asked. */
  evaluateAsync(values: Activation, budget: CelBudget): Promise<unknown>
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
  ...(variables === undefined ? {} : { variables: { fields: variables } }),
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
    return { source, type: 'dyn', failure, evaluate: fail, evaluateAsync: async () => fail() }
  }
  return {
    source,
    type: { type: program.type },
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
