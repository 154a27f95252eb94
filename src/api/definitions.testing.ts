/** What tests of the definitions share. */
import {
  decodeTyped,
  StatusError,
  type FieldError,
  type JsonObject,
  type KubeObject,
} from '#machinery'
import { findDefinition } from './catalog.ts'
import { typeTable } from './facts.ts'

export const NOW = new Date('2026-01-02T03:04:05Z')
export const contextOf = (subresource = '') => ({
  user: { name: 'jane', uid: 'u1', groups: ['system:authenticated'] },
  now: NOW,
  subresource,
})

const say = ({ field, detail }: FieldError): string => `${field}: ${detail}`

/** A resource with an answer to each question that the server asks of it. */
export function trying(group: string, version: string, resource: string) {
  const definition = findDefinition(group, version, resource)
  if (definition === undefined) throw new Error(`No ${resource} in ${group}/${version}`)

  const defaulted = (object: JsonObject): JsonObject => {
    const given = {
      apiVersion: group === '' ? version : `${group}/${version}`,
      kind: definition.facts.kind,
      ...object,
      metadata: { name: 'x', ...(object['metadata'] as JsonObject | undefined) },
    }
    const own = decodeTyped(typeTable, definition.facts.type, given, { unknown: 'ignore' }).object
    definition.defaults(own)
    return own
  }
  return {
    definition,
    defaulted,
    /** What is wrong with a new object. */
    errors(object: JsonObject): readonly string[] {
      const own = defaulted(object)
      return [...definition.validate(own), ...(definition.validateNew?.(own) ?? [])].map(say)
    },
    created(object: JsonObject): JsonObject {
      const own = defaulted({
        ...object,
        metadata: { name: 'x', uid: 'uid-1', ...(object['metadata'] as JsonObject | undefined) },
      })
      definition.prepareForCreate(own, contextOf())
      return own
    },
    updated(object: JsonObject, old: JsonObject, subresource = ''): JsonObject {
      const own = defaulted(object)
      const before = defaulted(old) as unknown as KubeObject
      definition.prepareForUpdate(own, before, contextOf(subresource))
      return own
    },
    updateErrors(object: JsonObject, old: JsonObject, subresource = ''): readonly string[] {
      const own = defaulted(object)
      const before = defaulted(old) as unknown as KubeObject
      definition.prepareForUpdate(own, before, contextOf(subresource))
      return definition.validateUpdate(own, before, contextOf(subresource)).map(say)
    },
    /** The row of the table, by column. */
    row(object: JsonObject): Readonly<Record<string, unknown>> {
      const own = defaulted(object)
      return Object.fromEntries(
        definition.columns.map(({ name, value }) => [name, value(own as never, NOW)]),
      )
    },
  }
}

/** The message of the refusal that `run` throws. */
export function refusal(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof StatusError) return error.message
    throw error
  }
  return ''
}
