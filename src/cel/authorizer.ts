/** `authorizer` in expressions (KEP-3488): asks who may do what. */
import { CelError, noOverload } from './errors.ts'
import type { Implementation } from './functions.ts'
import { Opaque, type CelValue } from './values.ts'

/** What is asked about: a path, or a resource. */
export interface CelAuthorizerAttributes {
  readonly path?: string
  readonly verb: string
  readonly group: string
  readonly resource: string
  readonly subresource: string
  readonly namespace: string
  readonly name: string
  readonly fieldSelector?: string
  readonly labelSelector?: string
  /** Instead of the user of the request. */
  readonly serviceAccount?: { readonly namespace: string; readonly name: string }
}

export interface CelDecision {
  readonly allowed: boolean
  readonly reason: string
  readonly error?: string
}

/** May answer later: then the expression must be evaluated with `evaluateAsync`. */
export interface CelAuthorizer {
  check(attributes: CelAuthorizerAttributes): CelDecision | Promise<CelDecision>
}

const PREFIX = 'kubernetes.authorization.'
const NOTHING: CelAuthorizerAttributes = {
  verb: '',
  group: '',
  resource: '',
  subresource: '',
  namespace: '',
  name: '',
}

/** An answer that is not there yet: the evaluation begins again when it is. */
export class PendingDecision extends Error {
  readonly key: string
  readonly answer: Promise<CelDecision>
  constructor(key: string, answer: Promise<CelDecision>) {
    super('an authorization decision is awaited')
    this.key = key
    this.answer = answer
  }
}

export interface Asked {
  readonly authorizer: CelAuthorizer | undefined
  /** Answers that came later, by what was asked. */
  readonly answers: Map<string, CelDecision>
}

interface Content {
  readonly asked: Asked
  readonly attributes: CelAuthorizerAttributes
}

export const authorizerValue = (asked: Asked): Opaque =>
  new Opaque(`${PREFIX}Authorizer`, { asked, attributes: NOTHING } satisfies Content)

/** `authorizer.requestResource`: the resource of the request, ready to be checked. */
export const requestResourceValue = (
  asked: Asked,
  attributes: Partial<CelAuthorizerAttributes>,
): Opaque =>
  new Opaque(`${PREFIX}ResourceCheck`, {
    asked,
    attributes: { ...NOTHING, ...attributes },
  } satisfies Content)

const word = (value: CelValue | undefined): string => {
  if (typeof value !== 'string') throw noOverload()
  return value
}

const step =
  (
    from: string,
    to: string,
    change: (words: readonly string[]) => Partial<CelAuthorizerAttributes>,
  ): Implementation =>
  (target, ...words) => {
    if (!(target instanceof Opaque) || target.type !== PREFIX + from) throw noOverload()
    const { asked, attributes } = target.content as Content
    return new Opaque(PREFIX + to, {
      asked,
      attributes: { ...attributes, ...change(words.map(word)) },
    } satisfies Content)
  }

function check(target: CelValue, verb: CelValue): CelValue {
  if (!(target instanceof Opaque)) throw noOverload()
  const { asked, attributes } = target.content as Content
  const full = { ...attributes, verb: word(verb) }
  const key = JSON.stringify(full)
  let decision = asked.answers.get(key)
  if (decision === undefined) {
    if (asked.authorizer === undefined) throw new CelError('no authorizer')
    const answer = asked.authorizer.check(full)
    if (answer instanceof Promise) throw new PendingDecision(key, answer)
    decision = answer
    asked.answers.set(key, decision)
  }
  return new Opaque(`${PREFIX}Decision`, decision)
}

const decided =
  (read: (decision: CelDecision) => CelValue): Implementation =>
  (target) => {
    if (!(target instanceof Opaque) || target.type !== `${PREFIX}Decision`) throw noOverload()
    return read(target.content as CelDecision)
  }

export const authorizerFunctions: Readonly<Record<string, Implementation>> = {
  path: step('Authorizer', 'PathCheck', ([path = '']) => ({ path })),
  group: step('Authorizer', 'GroupCheck', ([group = '']) => ({ group })),
  serviceAccount: step('Authorizer', 'Authorizer', ([namespace = '', name = '']) => ({
    serviceAccount: { namespace, name },
  })),
  resource: step('GroupCheck', 'ResourceCheck', ([resource = '']) => ({ resource })),
  subresource: step('ResourceCheck', 'ResourceCheck', ([subresource = '']) => ({ subresource })),
  namespace: step('ResourceCheck', 'ResourceCheck', ([namespace = '']) => ({ namespace })),
  name: step('ResourceCheck', 'ResourceCheck', ([name = '']) => ({ name })),
  fieldSelector: step('ResourceCheck', 'ResourceCheck', ([fieldSelector = '']) => ({
    fieldSelector,
  })),
  labelSelector: step('ResourceCheck', 'ResourceCheck', ([labelSelector = '']) => ({
    labelSelector,
  })),
  check,
  allowed: decided(({ allowed }) => allowed),
  reason: decided(({ reason }) => reason),
  errored: decided(({ error }) => error !== undefined),
  error: decided(({ error }) => error ?? ''),
}
