/** Questions that are answered and not kept: who am I, may I, is this token good. */
import { FieldPath, invalidValue, required, type FieldError } from '#machinery'
import { defineResource } from './define.ts'
import {
  localSubjectAccessReviews as localReviewsRef,
  selfSubjectAccessReviews as selfReviewsRef,
  selfSubjectReviews as selfRef,
  selfSubjectRulesReviews as rulesRef,
  subjectAccessReviews as reviewsRef,
  tokenReviews as tokenReviewsRef,
} from './resources.gen.ts'
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
  return resourceAttributes || nonResourceAttributes
    ? []
    : [
        invalidValue(
          path.child('resourceAttributes'),
          resourceAttributes,
          'exactly one of nonResourceAttributes or resourceAttributes must be specified',
        ),
      ]
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
