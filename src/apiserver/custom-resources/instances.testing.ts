/** Definitions whose objects tests make. */
import {
  WIDGETS,
  serving,
  version,
  widget,
  widgets,
  type Served,
} from './custom-resources.testing.ts'

export const withSchema = (schema: object, more: object = {}): Promise<Served> =>
  serving(widgets([version('v1', { schema, ...more })]))

export const MERGE = { 'content-type': 'application/merge-patch+json' }

export const APPLY = { 'content-type': 'application/apply-patch+yaml' }

export async function refusals(made: Served, spec: unknown): Promise<string> {
  const { status, json } = await made.request(`POST ${WIDGETS}`, widget('w', { spec }))
  return status === 201 ? '' : String(json['message'])
}

export const namesOf = (list: Record<string, unknown>): readonly string[] =>
  (list['items'] as { metadata: { name: string } }[]).map(({ metadata }) => metadata.name)
