/** Rules for admission policies and their bindings. Their expressions are judged elsewhere. */
import {
  FieldPath,
  duplicate,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
  type FieldError,
} from '#machinery'
import {
  check,
  dns1035Label,
  dnsSubdomain,
  qualifiedName,
  validateLabelSelector,
} from '../rules.ts'
import type {
  MatchCondition,
  MatchResources,
  Mutation,
  MutatingAdmissionPolicy,
  MutatingAdmissionPolicyBinding,
  ParamKind,
  ParamRef,
  ValidatingAdmissionPolicy,
  ValidatingAdmissionPolicyBinding,
  Validation,
  Variable,
} from '../types.gen.ts'
import { validateConditions, validateMatch } from './match.ts'

const SPEC = FieldPath.of('spec')
const MAX_ANNOTATIONS = 20
const MAX_ANNOTATION_BYTES = 5 * 1024

function validateParamKind(
  { apiVersion = '', kind = '' }: ParamKind,
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  const parts = apiVersion.split('/')
  if (apiVersion === '') errors.push(required(path.child('apiVersion')))
  else if (parts.length > 2)
    errors.push(
      invalidValue(
        path.child('apiVersion'),
        apiVersion,
        `unexpected GroupVersion string: ${apiVersion}`,
      ),
    )
  else {
    const [group, version = ''] = parts.length === 2 ? parts : ['', parts[0]]
    if (group !== undefined && group !== '')
      errors.push(...check(path.child('apiVersion'), group, dnsSubdomain))
    if (version === '')
      errors.push(invalidValue(path.child('apiVersion'), apiVersion, 'version must be specified'))
    else errors.push(...check(path.child('apiVersion'), version, dns1035Label))
  }
  if (kind === '') errors.push(required(path.child('kind')))
  else
    for (const why of dns1035Label(kind.toLowerCase()))
      errors.push(
        invalidValue(
          path.child('kind'),
          kind,
          `may have mixed case, but should otherwise match: ${why}`,
        ),
      )
  return errors
}

interface Constrained {
  readonly paramKind?: ParamKind
  readonly matchConstraints?: MatchResources
  readonly matchConditions?: readonly MatchCondition[]
  readonly variables?: readonly Variable[]
}

function validateConstraints(spec: Constrained): readonly FieldError[] {
  const match = SPEC.child('matchConstraints')
  const errors: FieldError[] =
    spec.paramKind === undefined
      ? []
      : [...validateParamKind(spec.paramKind, SPEC.child('paramKind'))]
  if (spec.matchConstraints === undefined) errors.push(required(match))
  else {
    errors.push(...validateMatch(spec.matchConstraints, match))
    // Rules say what the types are.
    if ((spec.matchConstraints.resourceRules ?? []).length === 0)
      errors.push(required(match.child('resourceRules')))
  }
  errors.push(...validateConditions(spec.matchConditions ?? [], SPEC.child('matchConditions')))
  const names = (spec.variables ?? []).map(({ name }) => name)
  for (const [i, { name, expression }] of (spec.variables ?? []).entries()) {
    const at = SPEC.child('variables').index(i)
    if (name.trim() === '') errors.push(required(at.child('name'), 'name is not specified'))
    else if (!/^[_a-zA-Z][_a-zA-Z0-9]*$/.test(name))
      errors.push(invalidValue(at.child('name'), name, 'name is not a valid CEL identifier'))
    if (names.indexOf(name) < i) errors.push(duplicate(at.child('name'), name))
    if (expression.trim() === '')
      errors.push(required(at.child('expression'), 'expression is not specified'))
  }
  return errors
}

function validateValidation(
  { expression, message = '', messageExpression = '', reason }: Validation,
  path: FieldPath,
): readonly FieldError[] {
  const errors: FieldError[] = []
  if (expression.trim() === '')
    errors.push(required(path.child('expression'), 'expression is not specified'))
  if (messageExpression !== '' && messageExpression.trim() === '')
    errors.push(
      invalidValue(
        path.child('messageExpression'),
        messageExpression,
        'must be non-empty if specified',
      ),
    )
  if (message !== '' && message.trim() === '')
    errors.push(
      invalidValue(path.child('message'), message, 'message must be non-empty if specified'),
    )
  else if (/[\r\n]/.test(message.trim()))
    errors.push(
      invalidValue(path.child('message'), message, 'message must not contain line breaks'),
    )
  const reasons = ['Forbidden', 'Invalid', 'RequestEntityTooLarge', 'Unauthorized']
  if (reason !== undefined && !reasons.includes(reason))
    errors.push(notSupported(path.child('reason'), reason, reasons))
  return errors
}

export function validatePolicy({
  metadata,
  spec,
}: ValidatingAdmissionPolicy): readonly FieldError[] {
  const errors = [...validateConstraints(spec)]
  const { validations = [], auditAnnotations = [] } = spec
  if (validations.length === 0 && auditAnnotations.length === 0) {
    const why = 'validations or auditAnnotations must be non-empty'
    errors.push(required(SPEC.child('validations'), why))
    errors.push(required(SPEC.child('auditAnnotations'), why))
  }
  for (const [i, validation] of validations.entries())
    errors.push(...validateValidation(validation, SPEC.child('validations').index(i)))
  const path = SPEC.child('auditAnnotations')
  if (auditAnnotations.length > MAX_ANNOTATIONS)
    errors.push(
      invalidValue(
        path,
        auditAnnotations,
        `must not have more than ${MAX_ANNOTATIONS} auditAnnotations`,
      ),
    )
  const keys = auditAnnotations.map(({ key }) => key)
  for (const [i, { key, valueExpression }] of auditAnnotations.entries()) {
    const at = path.index(i)
    const { name } = metadata
    if (name === '')
      errors.push(invalidValue(at.child('key'), key, 'requires metadata.name be non-empty'))
    else
      for (const why of qualifiedName(`${name}/${key}`))
        errors.push(invalidValue(at.child('key'), key, why))
    if (keys.indexOf(key) < i) errors.push(duplicate(at.child('key'), key))
    if (valueExpression.trim() === '')
      errors.push(required(at.child('valueExpression'), 'valueExpression is not specified'))
    else if (Buffer.byteLength(valueExpression.trim()) > MAX_ANNOTATION_BYTES)
      errors.push(
        required(
          at.child('valueExpression'),
          `must not exceed ${MAX_ANNOTATION_BYTES} bytes in length`,
        ),
      )
  }
  return errors
}

const BODIES = { ApplyConfiguration: 'applyConfiguration', JSONPatch: 'jsonPatch' } as const

function validateMutation(mutation: Mutation, path: FieldPath): readonly FieldError[] {
  const { patchType } = mutation
  if (patchType !== 'ApplyConfiguration' && patchType !== 'JSONPatch') return []
  const wanted = BODIES[patchType]
  const other = wanted === 'jsonPatch' ? 'applyConfiguration' : 'jsonPatch'
  const errors: FieldError[] = []
  if (mutation[wanted] === undefined)
    errors.push(required(path.child(wanted), `must be specified when patchType is ${patchType}`))
  else if ((mutation[wanted].expression ?? '').trim() === '')
    errors.push(required(path.child(wanted).child('expression'), 'expression is not specified'))
  if (mutation[other] !== undefined)
    errors.push(
      invalidValue(
        path.child(other),
        `{${other}}`,
        `must not be specified when patchType is ${patchType}`,
      ),
    )
  return errors
}

export function validateMutatingPolicy({ spec }: MutatingAdmissionPolicy): readonly FieldError[] {
  const errors = [...validateConstraints(spec)]
  const at = SPEC.child('mutations')
  const mutations = spec.mutations ?? []
  if (mutations.length === 0) errors.push(required(at, 'mutations must contain at least one item'))
  for (const [i, mutation] of mutations.entries())
    errors.push(...validateMutation(mutation, at.index(i)))
  if ((spec.reinvocationPolicy ?? '') === '')
    errors.push(required(SPEC.child('reinvocationPolicy')))
  return errors
}

type Binding = ValidatingAdmissionPolicyBinding | MutatingAdmissionPolicyBinding

function validateParamRef(ref: ParamRef, path: FieldPath): readonly FieldError[] {
  const errors: FieldError[] = []
  const { name = '', selector, parameterNotFoundAction: action = '' } = ref
  const exclusive = 'name and selector are mutually exclusive'
  if (name !== '') {
    errors.push(...check(path.child('name'), name, dnsSubdomain))
    if (selector !== undefined) {
      errors.push(forbiddenField(path.child('name'), exclusive))
      errors.push(forbiddenField(path.child('selector'), exclusive))
    }
  } else if (selector === undefined)
    errors.push(required(path, 'one of name or selector must be specified'))
  errors.push(...validateLabelSelector(selector, path.child('selector')))
  const at = path.child('parameterNotFoundAction')
  if (action === '') errors.push(required(at))
  else if (action !== 'Allow' && action !== 'Deny')
    errors.push(notSupported(at, action, ['Allow', 'Deny']))
  return errors
}

export function validateBinding({ spec }: Binding): readonly FieldError[] {
  const { policyName = '', paramRef, matchResources } = spec
  const at = SPEC.child('policyName')
  return [
    ...(policyName === '' ? [required(at)] : check(at, policyName, dnsSubdomain)),
    ...(paramRef === undefined ? [] : validateParamRef(paramRef, SPEC.child('paramRef'))),
    ...(matchResources === undefined
      ? []
      : validateMatch(matchResources, SPEC.child('matchResources'))),
  ]
}

export function validateActions({ spec }: ValidatingAdmissionPolicyBinding): readonly FieldError[] {
  const at = SPEC.child('validationActions')
  const actions = spec.validationActions ?? []
  if (actions.length === 0) return [required(at)]
  const errors = actions.flatMap((action, i) =>
    actions.indexOf(action) < i ? [duplicate(at.index(i), action)] : [],
  )
  if (actions.includes('Deny') && actions.includes('Warn'))
    errors.push(
      invalidValue(
        at,
        actions,
        'must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)',
      ),
    )
  return errors
}
