/** Questions that are answered and not kept: who am I, may I, is this token good. */
import { FieldPath, forbiddenField, invalidValue, required, type FieldError } from '#machinery'
import { defineResource } from './define.ts'
import {
  localSubjectAccessReviews as localReviewsRef,
  selfSubjectAccessReviews as selfReviewsRef,
  selfSubjectReviews as selfRef,
  selfSubjectRulesReviews as rulesRef,
  subjectAccessReviews as reviewsRef,
  tokenReviews as tokenReviewsRef,
} from './resources.gen.ts'
import { check, qualifiedName } from './rules.ts'
import type { SelfSubjectAccessReviewSpec, SubjectAccessReviewSpec } from './types.gen.ts'

const path = FieldPath.of('spec')

function validateAttributes(spec: SelfSubjectAccessReviewSpec): readonly FieldError[] {
  const { resourceAttributes, nonResourceAttributes } = spec
  if (resourceAttributes && nonResourceAttributes) {
    return [
      invalidValue(
        path.child('nonResourceAttributes'),
        nonResourceAttributes,
        'cannot be specified in combination with resourceAttributes',
      ),
    ]
  }
  if (resourceAttributes) {
    const at = path.child('resourceAttributes')
    return [
      ...validateSelector(resourceAttributes.fieldSelector, at.child('fieldSelector'), () => []),
      ...validateSelector(
        resourceAttributes.labelSelector,
        at.child('labelSelector'),
        (key, where) => check(where, key, qualifiedName),
      ),
    ]
  }
  return nonResourceAttributes
    ? []
    : [
        invalidValue(
          path.child('resourceAttributes'),
          resourceAttributes,
          'exactly one of nonResourceAttributes or resourceAttributes must be specified',
        ),
      ]
}

interface SelectorAttributes {
  readonly rawSelector?: string
  readonly requirements?: readonly {
    readonly key: string
    readonly operator: string
    readonly values?: readonly string[]
  }[]
}

/** Operators may be newer than this server; the others are as everywhere. */
function validateSelector(
  selector: SelectorAttributes | undefined,
  at: FieldPath,
  checkKey: (key: string, at: FieldPath) => readonly FieldError[],
): readonly FieldError[] {
  if (selector === undefined) return []
  const { rawSelector = '', requirements = [] } = selector
  const errors: FieldError[] = []
  if (rawSelector !== '' && requirements.length > 0)
    errors.push(
      forbiddenField(at.child('rawSelector'), 'may not specified at the same time as requirements'),
    )
  if (rawSelector === '' && requirements.length === 0)
    errors.push(
      required(
        at.child('requirements'),
        `when ${at.text} is specified, requirements or rawSelector is required`,
      ),
    )
  for (const [i, { key, operator, values = [] }] of requirements.entries()) {
    const each = at.child('requirements').index(i)
    if (['In', 'NotIn'].includes(operator) && values.length === 0)
      errors.push(
        required(each.child('values'), "must be specified when `operator` is 'In' or 'NotIn'"),
      )
    if (['Exists', 'DoesNotExist'].includes(operator) && values.length > 0)
      errors.push(
        forbiddenField(
          each.child('values'),
          "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        ),
      )
    if (key === '') errors.push(required(each.child('key'), 'must be specified'))
    else errors.push(...checkKey(key, each.child('key')))
  }
  return errors
}

function validateSubject(spec: SubjectAccessReviewSpec): readonly FieldError[] {
  const errors = [...validateAttributes(spec)]
  if ((spec.user ?? '') === '' && (spec.groups ?? []).length === 0) {
    errors.push(
      invalidValue(
        path.child('user'),
        spec.user ?? '',
        'at least one of user or group must be specified',
      ),
    )
  }
  return errors
}

export const reviews = [
  defineResource(selfRef),
  defineResource(rulesRef),
  defineResource(tokenReviewsRef, {
    validate: ({ spec }) => (spec.token === '' ? [required(path.child('token'))] : []),
  }),
  defineResource(selfReviewsRef, { validate: ({ spec }) => validateAttributes(spec) }),
  defineResource(reviewsRef, { validate: ({ spec }) => validateSubject(spec) }),
  defineResource(localReviewsRef, {
    validate: ({ spec, metadata }) => {
      const errors = [...validateSubject(spec)]
      const asked = spec.resourceAttributes?.namespace ?? ''
      if (asked !== (metadata.namespace ?? '')) {
        errors.push(
          invalidValue(
            path.child('resourceAttributes', 'namespace'),
            asked,
            'must match metadata.namespace',
          ),
        )
      }
      if (spec.nonResourceAttributes) {
        errors.push(
          invalidValue(
            path.child('nonResourceAttributes'),
            spec.nonResourceAttributes,
            'disallowed on this kind of request',
          ),
        )
      }
      return errors
    },
  }),
]
