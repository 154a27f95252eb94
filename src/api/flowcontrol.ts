/** The group flowcontrol.apiserver.k8s.io: whose requests wait for whose. */
import {
  FieldPath,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
  type FieldError,
} from '#machinery'
import { NONE } from './columns.ts'
import { defineResource } from './define.ts'
import { goForm } from './go-form.ts'
import { validateFlowRule } from './flow-rules.ts'
import {
  flowSchemas as flowSchemasRef,
  priorityLevelConfigurations as levelsRef,
} from './resources.gen.ts'
import { check, dnsSubdomain } from './rules.ts'
import type { FlowSchema, PriorityLevelConfiguration } from './types.gen.ts'

const path = FieldPath.of('spec')
const MAX_PRECEDENCE = 10_000
const METHODS = ['ByNamespace', 'ByUser']
const SUBJECTS = { Group: 'group', ServiceAccount: 'serviceAccount', User: 'user' } as const

function validateSchema({ metadata, spec }: FlowSchema): readonly FieldError[] {
  const errors: FieldError[] = []
  const precedence = spec.matchingPrecedence ?? 0
  const at = path.child('matchingPrecedence')
  if (precedence <= 0) errors.push(invalidValue(at, precedence, 'must be a positive value'))
  if (precedence > MAX_PRECEDENCE) {
    errors.push(invalidValue(at, precedence, `must not be greater than ${MAX_PRECEDENCE}`))
  }
  if (precedence === 1 && metadata.name !== 'exempt') {
    errors.push(
      invalidValue(at, precedence, "only the schema named 'exempt' may have matchingPrecedence 1"),
    )
  }
  const method = spec.distinguisherMethod
  if (method !== undefined && !METHODS.includes(method.type)) {
    const form = goForm('flowcontrol.v1.FlowDistinguisherMethod', method)
    errors.push(notSupported(path.child('distinguisherMethod', 'type'), form, METHODS))
  }
  const level = path.child('priorityLevelConfiguration', 'name')
  const { name } = spec.priorityLevelConfiguration
  if (name === '') errors.push(required(level, 'must reference a priority level'))
  else errors.push(...check(level, name, dnsSubdomain))
  for (const [i, rule] of (spec.rules ?? []).entries()) {
    const each = path.child('rules').index(i)
    errors.push(...validateFlowRule(rule, each))
    if (rule.subjects.length === 0) {
      errors.push(required(each.child('subjects'), 'subjects must contain at least one value'))
    }
    if ((rule.resourceRules ?? []).length + (rule.nonResourceRules ?? []).length === 0) {
      errors.push(
        required(each, 'at least one of resourceRules and nonResourceRules has to be non-empty'),
      )
    }
    for (const [j, subject] of rule.subjects.entries()) {
      const where = each.child('subjects').index(j)
      const kinds: Readonly<Record<string, 'group' | 'serviceAccount' | 'user'>> = SUBJECTS
      const field = kinds[subject.kind]
      if (field === undefined)
        errors.push(notSupported(where.child('kind'), subject.kind, Object.keys(SUBJECTS)))
      else if (subject[field] === undefined) {
        errors.push(
          required(
            where.child(field),
            `${field} is required when subject kind is '${subject.kind}'`,
          ),
        )
      }
    }
    for (const [j, { verbs, apiGroups, resources, namespaces = [], clusterScope }] of (
      rule.resourceRules ?? []
    ).entries()) {
      const where = each.child('resourceRules').index(j)
      if (verbs.length === 0)
        errors.push(required(where.child('verbs'), 'verbs must contain at least one value'))
      if (apiGroups.length === 0) {
        errors.push(
          required(where.child('apiGroups'), 'resource rules must supply at least one api group'),
        )
      }
      if (resources.length === 0) {
        errors.push(
          required(where.child('resources'), 'resource rules must supply at least one resource'),
        )
      }
      if (namespaces.length === 0 && clusterScope !== true) {
        errors.push(
          required(
            where.child('namespaces'),
            'resource rules that are not cluster scoped must supply at least one namespace',
          ),
        )
      }
    }
    for (const [j, { verbs, nonResourceURLs }] of (rule.nonResourceRules ?? []).entries()) {
      const where = each.child('nonResourceRules').index(j)
      if (verbs.length === 0)
        errors.push(required(where.child('verbs'), 'verbs must contain at least one value'))
      if (nonResourceURLs.length === 0) {
        errors.push(
          required(
            where.child('nonResourceURLs'),
            'nonResourceURLs must contain at least one value',
          ),
        )
      }
    }
  }
  return errors
}

const flowSchemas = defineResource(flowSchemasRef, {
  statusKeepsMetadata: true,
  defaults({ spec }) {
    spec.matchingPrecedence ||= 1000
  },
  validate: validateSchema,
  cells: {
    PriorityLevel: ({ spec }) => spec.priorityLevelConfiguration.name,
    MatchingPrecedence: ({ spec }) => String(spec.matchingPrecedence ?? 0),
    DistinguisherMethod: ({ spec }) => spec.distinguisherMethod?.type ?? NONE,
    MissingPL: ({ status }) => {
      const dangling = status?.conditions?.find(({ type }) => type === 'Dangling')
      return dangling?.status ?? '?'
    },
  },
})

const TYPES = ['Exempt', 'Limited']

function validateLevel({ metadata, spec }: PriorityLevelConfiguration): readonly FieldError[] {
  const errors: FieldError[] = []
  const { type, limited, exempt } = spec
  if (!TYPES.includes(type)) return [notSupported(path.child('type'), type, TYPES)]
  if (metadata.name === 'exempt' && type !== 'Exempt') {
    errors.push(invalidValue(path.child('type'), type, "must be 'Exempt' if `name` is 'exempt'"))
  }
  if (metadata.name !== 'exempt' && type === 'Exempt') {
    errors.push(
      invalidValue(path.child('type'), type, "must be 'Exempt' if and only if `name` is 'exempt'"),
    )
  }
  if (type === 'Exempt' && limited) {
    errors.push(forbiddenField(path.child('limited'), 'must be nil if the type is not Limited'))
  }
  if (type === 'Limited' && exempt) {
    errors.push(forbiddenField(path.child('exempt'), 'must be nil if the type is Limited'))
  }
  if (type !== 'Limited') return errors
  const at = path.child('limited')
  if (limited === undefined) {
    return [...errors, required(at, 'must not be empty when type is Limited')]
  }
  const shares = limited.nominalConcurrencyShares
  if (shares !== undefined && shares < 0) {
    errors.push(
      invalidValue(at.child('nominalConcurrencyShares'), shares, 'must be a non-negative integer'),
    )
  }
  const lendable = limited.lendablePercent
  if (lendable !== undefined && (lendable < 0 || lendable > 100)) {
    errors.push(
      invalidValue(at.child('lendablePercent'), lendable, 'must be between 0 and 100, inclusive'),
    )
  }
  const response = at.child('limitResponse')
  const kind = limited.limitResponse?.type ?? ''
  const queuing = limited.limitResponse?.queuing
  if (kind !== 'Queue' && kind !== 'Reject') {
    errors.push(notSupported(response.child('type'), kind, ['Queue', 'Reject']))
  }
  if (kind === 'Reject' && queuing) {
    errors.push(
      forbiddenField(
        response.child('queuing'),
        'must be nil if limited.limitResponse.type is not Limited',
      ),
    )
  }
  if (kind === 'Queue') {
    if (queuing === undefined) {
      errors.push(
        required(
          response.child('queuing'),
          'must not be empty if limited.limitResponse.type is Limited',
        ),
      )
    } else {
      const { queues = 0, handSize = 0, queueLengthLimit = 0 } = queuing
      for (const [name, value] of Object.entries({ queueLengthLimit, queues, handSize })) {
        if (value <= 0) {
          errors.push(invalidValue(response.child('queuing', name), value, 'must be positive'))
        }
      }
      if (handSize > queues) {
        errors.push(
          invalidValue(
            response.child('queuing', 'handSize'),
            handSize,
            `should not be greater than queues (${queues})`,
          ),
        )
      }
    }
  }
  return errors
}

const queuingCell =
  (field: 'queues' | 'handSize' | 'queueLengthLimit') =>
  ({ spec }: PriorityLevelConfiguration) => {
    const value = spec.limited?.limitResponse?.queuing?.[field]
    return value === undefined ? NONE : String(value)
  }

const priorityLevelConfigurations = defineResource(levelsRef, {
  statusKeepsMetadata: true,
  defaults({ spec }) {
    if (spec.exempt) {
      spec.exempt.nominalConcurrencyShares ??= 0
      spec.exempt.lendablePercent ??= 0
    } else if (spec.type === 'Exempt') {
      spec.exempt = { nominalConcurrencyShares: 0, lendablePercent: 0 }
    }
    if (spec.limited) {
      spec.limited.nominalConcurrencyShares ??= 30
      spec.limited.lendablePercent ??= 0
      const queuing = spec.limited.limitResponse?.queuing
      if (queuing) {
        queuing.handSize ||= 8
        queuing.queues ||= 64
        queuing.queueLengthLimit ||= 50
      }
    }
  },
  validate: validateLevel,
  cells: {
    Type: ({ spec }) => spec.type,
    NominalConcurrencyShares: ({ spec }) => {
      const shares = (spec.limited ?? spec.exempt)?.nominalConcurrencyShares
      return shares === undefined ? NONE : String(shares)
    },
    Queues: queuingCell('queues'),
    HandSize: queuingCell('handSize'),
    QueueLengthLimit: queuingCell('queueLengthLimit'),
  },
})

export const flowcontrol = [flowSchemas, priorityLevelConfigurations]
