/** Groups that belong to Kubernetes: definitions there say who approved them. */
import type { CustomResourceDefinition } from '#api'

export const APPROVED = 'api-approved.kubernetes.io'

/** Groups of the community's own: who defines resources there says who approved them. */
export const isProtected = (group: string): boolean =>
  ['k8s.io', 'kubernetes.io'].some((end) => group === end || group.endsWith(`.${end}`))

type Approval = 'missing' | 'bypassed' | 'approved' | 'invalid'

export function approvalOf({ metadata }: CustomResourceDefinition): {
  readonly state: Approval
  readonly text: string
} {
  const text = metadata.annotations?.[APPROVED] ?? ''
  if (text === '')
    return {
      state: 'missing',
      text: `protected groups must have approval annotation ${JSON.stringify(APPROVED)}, see https://github.com/kubernetes/enhancements/pull/1111`,
    }
  if (text.startsWith('unapproved'))
    return { state: 'bypassed', text: `not approved: ${JSON.stringify(text)}` }
  if (URL.canParse(text) && new URL(text).host !== '')
    return { state: 'approved', text: `approved in ${text}` }
  return {
    state: 'invalid',
    text: `protected groups must have approval annotation ${JSON.stringify(APPROVED)} with either a URL or a reason starting with "unapproved", see https://github.com/kubernetes/enhancements/pull/1111`,
  }
}
