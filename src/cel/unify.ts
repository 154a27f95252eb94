/** Which type may stand for which, with type variables. */
import { DYN, listOf, mapOf, typeName, typeOf, type CelType } from './types.ts'

/** What variables stand for. What was tried and did not fit is taken back. */
export class Bindings {
  readonly #types = new Map<string, CelType>()
  readonly #changes: (readonly [name: string, before: CelType | undefined])[] = []

  get(name: string): CelType | undefined {
    return this.#types.get(name)
  }
  set(name: string, type: CelType): void {
    this.#changes.push([name, this.#types.get(name)])
    this.#types.set(name, type)
  }
  /** Keeps what was bound only when the attempt succeeds. */
  attempt(run: () => boolean): boolean {
    const from = this.#changes.length
    if (run()) return true
    while (this.#changes.length > from) {
      const [name = '', before] = this.#changes.pop() ?? []
      if (before === undefined) this.#types.delete(name)
      else this.#types.set(name, before)
    }
    return false
  }
}

/** With what is bound put in; what stays unbound becomes dyn when asked. */
export function substitute(
  type: CelType,
  bindings: Bindings,
  { free = false }: { readonly free?: boolean } = {},
): CelType {
  switch (type.kind) {
    case 'parameter': {
      const bound = follow(type, bindings)
      if (bound.kind !== 'parameter') return substitute(bound, bindings, { free })
      return free ? DYN : bound
    }
    case 'list': {
      const element = substitute(type.element, bindings, { free })
      return element === type.element ? type : listOf(element)
    }
    case 'map': {
      const key = substitute(type.key, bindings, { free })
      const value = substitute(type.value, bindings, { free })
      return key === type.key && value === type.value ? type : mapOf(key, value)
    }
    case 'opaque':
      if (type.parameters.length === 0) return type
      return {
        ...type,
        parameters: type.parameters.map((each) => substitute(each, bindings, { free })),
      }
    case 'type': {
      const of = substitute(type.of, bindings, { free })
      return of === type.of ? type : typeOf(of)
    }
    case 'object':
    case 'bool':
    case 'int':
    case 'uint':
    case 'double':
    case 'string':
    case 'bytes':
    case 'null':
    case 'timestamp':
    case 'duration':
    case 'dyn':
    case 'error':
      return type
  }
}

const isWild = (type: CelType): boolean => type.kind === 'dyn' || type.kind === 'error'

/** Whether a `from` may be given where a `to` is asked for. Binds variables, also when it fails. */
export function assignable(to: CelType, from: CelType, bindings: Bindings): boolean {
  const target = follow(to, bindings)
  const source = follow(from, bindings)
  if (target === source) return true
  // The newer variable is bound to the older: chains stay short.
  if (source.kind === 'parameter')
    return (
      (target.kind === 'parameter' && target.name === source.name) ||
      bind(source.name, target, bindings)
    )
  if (target.kind === 'parameter') return bind(target.name, source, bindings)
  if (isWild(target) || isWild(source)) {
    widen(to, source, bindings)
    return true
  }
  if (source.kind === 'null')
    return ['null', 'object', 'opaque', 'timestamp', 'duration'].includes(target.kind)
  if (target.kind === 'null')
    return ['object', 'opaque', 'timestamp', 'duration'].includes(source.kind)
  if (target.kind === 'list')
    return source.kind === 'list' && assignable(target.element, source.element, bindings)
  if (target.kind === 'map')
    return (
      source.kind === 'map' &&
      assignable(target.key, source.key, bindings) &&
      assignable(target.value, source.value, bindings)
    )
  if (target.kind === 'object') return source.kind === 'object' && source.name === target.name
  if (target.kind === 'opaque')
    return (
      source.kind === 'opaque' &&
      source.name === target.name &&
      source.parameters.length === target.parameters.length &&
      target.parameters.every((each, i) => assignable(each, source.parameters[i] ?? DYN, bindings))
    )
  return source.kind === target.kind
}

function follow(type: CelType, bindings: Bindings): CelType {
  let found = type
  while (found.kind === 'parameter') {
    const next = bindings.get(found.name)
    if (next === undefined) return found
    found = next
  }
  return found
}

function bind(name: string, type: CelType, bindings: Bindings): boolean {
  if (occurs(name, type, bindings)) return false
  bindings.set(name, type)
  return true
}

/** A variable that meets dyn is dyn from then on. */
function widen(to: CelType, source: CelType, bindings: Bindings): void {
  if (to.kind === 'parameter' && source.kind === 'dyn') bindings.set(to.name, DYN)
}

function occurs(name: string, type: CelType, bindings: Bindings): boolean {
  const found = follow(type, bindings)
  switch (found.kind) {
    case 'parameter':
      return found.name === name
    case 'list':
      return occurs(name, found.element, bindings)
    case 'map':
      return occurs(name, found.key, bindings) || occurs(name, found.value, bindings)
    case 'opaque':
      return found.parameters.some((each) => occurs(name, each, bindings))
    case 'type':
      return occurs(name, found.of, bindings)
    default:
      return false
  }
}

/** The one that says less. */
export const moreGeneral = (a: CelType, b: CelType): CelType =>
  b.kind === 'dyn' ? b : a.kind === 'null' ? b : a

export const sameType = (a: CelType, b: CelType): boolean => a === b || typeName(a) === typeName(b)
