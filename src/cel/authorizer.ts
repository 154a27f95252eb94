/** `authorizer` in expressions (KEP-3488): asks who may do what. */
import { CelError } from './errors.ts'
import { CelOpaque } from './values.ts'

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

/** What an authorizer says to a check in an expression. */
export interface CelDecision {
  readonly allowed: boolean
  readonly reason: string
  /** Of an authorizer that failed. */
  readonly error?: string
}

/** May answer later: then the expression must be evaluated with `evaluateAsync`. */
export interface CelAuthorizer {
  check(attributes: CelAuthorizerAttributes): CelDecision | Promise<CelDecision>
}

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
    super('the authorizer answers later: evaluateAsync waits for it')
    this.key = key
    this.answer = answer
  }
}

export interface Asked {
  readonly authorizer: CelAuthorizer | undefined
  /** By what was asked. */
  readonly answers: Map<string, CelDecision>
}

export const AUTHORIZER = 'kubernetes.authorization.Authorizer'
export const RESOURCE_CHECK = 'kubernetes.authorization.ResourceCheck'

/** The authorizer, or one of its questions that is not yet complete. */
export class Question extends CelOpaque {
  readonly typeName: string
  readonly asked: Asked
  readonly attributes: CelAuthorizerAttributes
  constructor(
    typeName: string,
    asked: Asked,
    attributes: Partial<CelAuthorizerAttributes> = NOTHING,
  ) {
    super()
    this.typeName = typeName
    this.asked = asked
    this.attributes = { ...NOTHING, ...attributes }
  }
  with(typeName: string, more: Partial<CelAuthorizerAttributes>): Question {
    return new Question(typeName, this.asked, { ...this.attributes, ...more })
  }
  check(verb: string): Verdict {
    const attributes = { ...this.attributes, verb }
    const key = JSON.stringify(attributes)
    const known = this.asked.answers.get(key)
    if (known !== undefined) return new Verdict(known)
    if (this.asked.authorizer === undefined) throw new CelError('no authorizer')
    const answer = this.asked.authorizer.check(attributes)
    if (answer instanceof Promise) throw new PendingDecision(key, answer)
    this.asked.answers.set(key, answer)
    return new Verdict(answer)
  }
  equals(other: CelOpaque): boolean {
    return other === this
  }
  toString(): string {
    return this.typeName
  }
}

export class Verdict extends CelOpaque {
  readonly typeName = 'kubernetes.authorization.Decision'
  readonly decision: CelDecision
  constructor(decision: CelDecision) {
    super()
    this.decision = decision
  }
  equals(other: CelOpaque): boolean {
    return other === this
  }
  toString(): string {
    return this.typeName
  }
}
