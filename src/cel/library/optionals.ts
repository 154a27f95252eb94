/** Values that may be absent. */
import { CelError } from '../errors.ts'
import { overload, type Overload } from '../functions.ts'
import { CelOptional, costSize, kindOf } from '../values.ts'

const isZero = (value: unknown): boolean => {
  switch (kindOf(value)) {
    case 'null':
      return true
    case 'bool':
      return value === false
    case 'string':
    case 'bytes':
    case 'list':
    case 'map':
      return costSize(value) === 0
    case 'int':
      return value === 0
    case 'uint':
    case 'double':
      return typeof value === 'object' && value !== null && 'value' in value
        ? Number(value.value) === 0
        : value === 0
    case 'timestamp':
    case 'duration':
    case 'optional':
    case 'type':
    case 'opaque':
      return false
  }
}

type List = readonly unknown[]
const optionalOf = (list: List, index: number): CelOptional =>
  list.length === 0 ? CelOptional.none : CelOptional.of(list[index])
const unwrap = (list: List): List =>
  list.flatMap((each) => {
    if (!(each instanceof CelOptional)) throw new CelError('no such overload')
    return each.present ? [each.value] : []
  })

export const optionals: readonly Overload[] = [
  overload('::optional.of(A): optional_type<A>', (value: unknown) => CelOptional.of(value)),
  overload('::optional.none(): optional_type<A>', () => CelOptional.none),
  overload('::optional.ofNonZeroValue(A): optional_type<A>', (value: unknown) =>
    isZero(value) ? CelOptional.none : CelOptional.of(value),
  ),
  overload('optional_type<A>.hasValue(): bool', (option: CelOptional) => option.present),
  overload('optional_type<A>.value(): A', (option: CelOptional) => {
    if (!option.present) throw new CelError('optional.none() dereference')
    return option.value
  }),
  overload('list<A>.first(): optional_type<A>', (list: List) => optionalOf(list, 0)),
  overload('list<A>.last(): optional_type<A>', (list: List) => optionalOf(list, list.length - 1)),
  overload('::optional.unwrap(list<optional_type<A>>): list<A>', unwrap),
  overload('list<optional_type<A>>.unwrapOpt(): list<A>', unwrap),
  // These two look at their argument only when they must: compile.ts treats them as control flow.
  overload('optional_type<A>.orValue(A): A', () => undefined),
  overload('optional_type<A>.or(optional_type<A>): optional_type<A>', () => undefined),
  overload('_?._(A, string): dyn', () => undefined),
  overload('_[?_](list<A>, int): optional_type<A>', () => undefined),
  overload('_[?_](map<A, B>, A): optional_type<B>', () => undefined),
  overload('_[?_](optional_type<list<A>>, int): optional_type<A>', () => undefined),
  overload('_[?_](optional_type<map<A, B>>, A): optional_type<B>', () => undefined),
  overload('_[_](optional_type<list<A>>, int): optional_type<A>', () => undefined),
  overload('_[_](optional_type<map<A, B>>, A): optional_type<B>', () => undefined),
]
