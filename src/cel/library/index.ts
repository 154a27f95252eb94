/** The functions that expressions in Kubernetes 1.36 have. */
import { functionsOf, type Functions, type Overload } from '../functions.ts'
import { authorization } from './authorization.ts'
import { conversionLibrary } from './conversions.ts'
import { formatLibrary, patchLibrary } from './formats.ts'
import { listShapes } from './list-shapes.ts'
import { lists } from './lists.ts'
import { network } from './network.ts'
import { optionals } from './optionals.ts'
import { quantityLibrary } from './quantities.ts'
import { standard } from './standard.ts'
import { strings } from './strings.ts'
import { urls } from './url.ts'

const LIBRARIES: readonly (readonly Overload[])[] = [
  standard,
  conversionLibrary,
  optionals,
  strings,
  lists,
  listShapes,
  urls,
  network,
  quantityLibrary,
  formatLibrary,
  authorization,
]
let functions: Functions | undefined
let withPatches: Functions | undefined

/** `mutates`: with what makes patches. */
export function kubernetesFunctions({
  mutates = false,
}: { readonly mutates?: boolean } = {}): Functions {
  if (mutates) return (withPatches ??= functionsOf([...LIBRARIES, patchLibrary]))
  return (functions ??= functionsOf(LIBRARIES))
}
