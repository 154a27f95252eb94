/** Questions to the authorizer. */
import { AUTHORIZER, RESOURCE_CHECK, type Question, type Verdict } from '../authorizer.ts'
import { overload, type Overload } from '../functions.ts'
import { fixedCost, nominal } from './costs.ts'

const PATH_CHECK = 'kubernetes.authorization.PathCheck'
const GROUP_CHECK = 'kubernetes.authorization.GroupCheck'
const DECISION = 'kubernetes.authorization.Decision'

const refine = (
  name: 'subresource' | 'namespace' | 'name' | 'fieldSelector' | 'labelSelector',
): Overload =>
  overload(
    `${RESOURCE_CHECK}.${name}(string): ${RESOURCE_CHECK}`,
    (question: Question, value: string) => question.with(RESOURCE_CHECK, { [name]: value }),
    nominal,
  )
const check = (type: string): Overload =>
  overload(
    `${type}.check(string): ${DECISION}`,
    (question: Question, verb: string) => question.check(verb),
    // Two in an expression, and no more.
    fixedCost(350_000),
  )

export const authorization: readonly Overload[] = [
  overload(
    `${AUTHORIZER}.path(string): ${PATH_CHECK}`,
    (question: Question, path: string) => question.with(PATH_CHECK, { path }),
    nominal,
  ),
  overload(
    `${AUTHORIZER}.group(string): ${GROUP_CHECK}`,
    (question: Question, group: string) => question.with(GROUP_CHECK, { group }),
    nominal,
  ),
  overload(
    `${AUTHORIZER}.serviceAccount(string, string): ${AUTHORIZER}`,
    (question: Question, namespace: string, name: string) =>
      question.with(AUTHORIZER, { serviceAccount: { namespace, name } }),
    nominal,
  ),
  overload(
    `${GROUP_CHECK}.resource(string): ${RESOURCE_CHECK}`,
    (question: Question, resource: string) => question.with(RESOURCE_CHECK, { resource }),
    nominal,
  ),
  refine('subresource'),
  refine('namespace'),
  refine('name'),
  refine('fieldSelector'),
  refine('labelSelector'),
  check(PATH_CHECK),
  check(RESOURCE_CHECK),
  overload(`${DECISION}.allowed(): bool`, ({ decision }: Verdict) => decision.allowed, nominal),
  overload(`${DECISION}.reason(): string`, ({ decision }: Verdict) => decision.reason, nominal),
  overload(
    `${DECISION}.errored(): bool`,
    ({ decision }: Verdict) => decision.error !== undefined,
    nominal,
  ),
  overload(`${DECISION}.error(): string`, ({ decision }: Verdict) => decision.error ?? '', nominal),
]
