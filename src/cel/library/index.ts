/** The functions that expressions in Kubernetes 1.36 have. */
import { functionsOf, type Functions } from '../functions.ts'
import { authorization } from './authorization.ts'
import { conversionLibrary } from './conversions.ts'
import { formatLibrary } from './formats.ts'
import { lists } from './lists.ts'
import { network } from './network.ts'
import { optionals } from './optionals.ts'
import { quantityLibrary } from './quantities.ts'
import { standard } from './standard.ts'
import { strings } from './strings.ts'
import { urls } from './url.ts'

let functions: Functions | undefined

export function kubernetesFunctions(): Functions {
  functions ??= functionsOf([
    standard,
    conversionLibrary,
    optionals,
    strings,
    lists,
    urls,
    network,
    quantityLibrary,
    formatLibrary,
    authorization,
  ])
  return functions
}
