/** How the messages of a type are written and read, from the field numbers of the facts. */
import type { FieldFact, TypeTable } from '../facts.ts'
import type { Writer } from './wire.ts'

export interface MessagePlan {
  readonly slots: readonly Slot[]
  readonly byNumber: ReadonlyMap<number, Slot>
}

export interface FieldSlot {
  readonly kind: 'field'
  readonly number: number
  readonly field: FieldFact
  readonly name: string
  /** Writes a value that is there, as quickly as its type allows; made by the first one. */
  write: ((w: Writer, value: unknown) => void) | undefined
  /** What stands for a value that is not there: always the same bytes. Made when it is first needed. */
  absent: Uint8Array | undefined
  /** The bytes of frozen values: they are shared by many objects. */
  ofFrozen: WeakMap<object, Uint8Array> | undefined
}

/** A field, or a message that holds fields which JSON has one level up. */
type Slot =
  | FieldSlot
  | {
      readonly number: number
      readonly inner: MessagePlan
      readonly kind: 'inner'
    }

const plans = new WeakMap<TypeTable, Map<string, MessagePlan>>()

/** What the facts say of one type, in the order in which its messages are written; worked out once. */
export function planOf(types: TypeTable, definition: string): MessagePlan {
  let known = plans.get(types)
  if (known === undefined) plans.set(types, (known = new Map()))
  let plan = known.get(definition)
  if (plan === undefined) {
    plan = build(
      (types[definition]?.fields ?? []).filter((field) => field.via !== 'TypeMeta'),
      0,
    )
    known.set(definition, plan)
  }
  return plan
}

function build(fields: readonly FieldFact[], depth: number): MessagePlan {
  const slots: Slot[] = []
  const groups = new Map<number, FieldFact[]>()
  for (const field of fields) {
    const via = field.via === 'TypeMeta' ? undefined : field.via?.[depth]
    if (via === undefined) {
      const { num: number, name } = field
      if (number === undefined) continue
      slots.push({
        kind: 'field',
        number,
        field,
        name,
        write: undefined,
        absent: undefined,
        ofFrozen: undefined,
      })
    } else {
      const group = groups.get(via[1])
      if (group === undefined) groups.set(via[1], [field])
      else group.push(field)
    }
  }
  for (const [number, group] of groups)
    slots.push({ kind: 'inner', number, inner: build(group, depth + 1) })
  slots.sort((a, b) => a.number - b.number)
  return { slots, byNumber: new Map(slots.map((slot) => [slot.number, slot])) }
}

/** What is worked out once of each text of the type table. */
function remembered<T>(make: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>()
  return (given) => {
    let found = known.get(given)
    if (found === undefined) known.set(given, (found = make(given)))
    return found
  }
}
const valueProtoIn = remembered((proto) => /^map<[^,]+,\s*(.+)>$/.exec(proto)?.[1] ?? '')
/** `string` of `map<string, string>`. */
export const valueProtoOf = (proto: string | undefined): string | undefined =>
  proto === undefined ? undefined : valueProtoIn(proto)
/** `Time` of `io.k8s.apimachinery.pkg.apis.meta.v1.Time`. */
export const scalarName = remembered((definition) =>
  definition.slice(definition.lastIndexOf('.') + 1),
)

/** Whose messages are nested in themselves. */
export const SCHEMA_PROPS =
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps'
