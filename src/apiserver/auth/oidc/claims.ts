/** From the claims of a token to a user: by claim names or by CEL expressions, as AuthenticationConfiguration says. */
import { compileCel, type CelProgram } from '#cel'
import type { RequestUser } from '#machinery'
import type { ClaimSource, JwtIssuer, Rule } from './config.ts'

export type Claims = Readonly<Record<string, unknown>>

/** As upstream bounds each expression. */
const COST = 1_000_000

class ClaimError extends Error {}

type Read = (claims: Claims) => unknown

/** Throws an Error that names the expression when one cannot be compiled. */
export function userFrom(issuer: JwtIssuer): (claims: Claims) => RequestUser {
  const { claimMappings, claimValidationRules, userValidationRules } = issuer
  const username = reader(claimMappings.username)
  const groups = claimMappings.groups && reader(claimMappings.groups)
  const uid = claimMappings.uid && reader(claimMappings.uid)
  const extra = claimMappings.extra.map(
    ({ key, valueExpression }) => [key, expression(valueExpression, 'claims')] as const,
  )
  const claimChecks = claimValidationRules.map((rule) => check(rule, 'claims'))
  const userChecks = userValidationRules.map((rule) => check(rule, 'user'))
  return (claims) => {
    for (const holds of claimChecks) holds(claims)
    const name = username(claims)
    if (typeof name !== 'string' || name === '') throw new ClaimError('username is missing')
    // Whoever may choose the address of an account freely must not thereby choose who it is.
    if (
      claimMappings.username.claim === 'email' &&
      claims['email_verified'] !== undefined &&
      claims['email_verified'] !== true
    )
      throw new ClaimError('email is not verified')
    const id = uid?.(claims)
    if (id !== undefined && typeof id !== 'string') throw new ClaimError('uid is no string')
    const more = extra.flatMap(([key, read]) => {
      const values = listOf(read(claims), key)
      return values.length === 0 ? [] : [[key, values] as const]
    })
    const jti = claims['jti']
    const user: RequestUser = {
      name,
      ...(id === undefined || id === '' ? {} : { uid: id }),
      groups: groups === undefined ? [] : listOf(groups(claims), 'groups'),
      extra: {
        ...Object.fromEntries(more),
        ...(typeof jti === 'string' && jti !== ''
          ? { 'authentication.kubernetes.io/credential-id': [`JTI=${jti}`] }
          : {}),
      },
    }
    const shown = {
      username: user.name,
      uid: user.uid ?? '',
      groups: user.groups,
      extra: user.extra ?? {},
    }
    for (const holds of userChecks) holds(shown)
    return user
  }
}

function reader({ claim, prefix = '', expression: source }: ClaimSource): Read {
  if (source !== undefined) return expression(source, 'claims')
  const name = claim ?? ''
  return (claims) => {
    const value = claims[name]
    // Nobody is not somebody because of a prefix.
    if (typeof value === 'string') return value === '' ? '' : `${prefix}${value}`
    return Array.isArray(value)
      ? value.map((each: unknown) => (typeof each === 'string' ? `${prefix}${each}` : each))
      : value
  }
}

/** One string, several, or nothing. */
function listOf(value: unknown, what: string): readonly string[] {
  if (value === undefined || value === null || value === '') return []
  if (typeof value === 'string') return [value]
  if (Array.isArray(value) && value.every((each) => typeof each === 'string'))
    return value.filter((each) => each !== '')
  throw new ClaimError(`${what} must be a string or a list of strings`)
}

function expression(source: string, variable: 'claims' | 'user'): (about: unknown) => unknown {
  const program: CelProgram | { readonly failure: string } = compileCel(source, {
    variables: { [variable]: 'dyn' },
  })
  if ('failure' in program)
    throw new Error(`expression ${JSON.stringify(source)}: ${program.failure}`)
  return (about) =>
    program.evaluate({ [variable]: about }, { perCall: COST, remaining: COST }).value
}

function check(rule: Rule, variable: 'claims' | 'user'): (about: Claims) => void {
  const { claim, requiredValue = '', expression: source, message } = rule
  if (source === undefined)
    return (about) => {
      if (about[claim ?? ''] !== requiredValue)
        throw new ClaimError(`claim ${claim} must be ${JSON.stringify(requiredValue)}`)
    }
  const evaluate = expression(source, variable)
  return (about) => {
    if (evaluate(about) !== true)
      throw new ClaimError(message ?? `validation expression '${source}' failed`)
  }
}
