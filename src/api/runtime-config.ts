/** Which API versions are served besides the stable ones, in the words of kube-apiserver's `--runtime-config`. */
import type { Enabled } from './catalog.ts'
import { resourceFacts } from './facts.ts'

/** `api/beta=true,resource.k8s.io/v1beta2,apps/v1=false`. Throws an Error that says what is wrong. */
export function parseRuntimeConfig(texts: readonly string[]): Enabled {
  const also = new Set<string>()
  const except = new Set<string>()
  const known = new Set(
    resourceFacts.map(({ group, version }) => (group === '' ? version : `${group}/${version}`)),
  )
  for (const part of texts.flatMap((text) => text.split(',')).map((text) => text.trim())) {
    if (part === '') continue
    const [name = '', value = 'true'] = part.split('=')
    if (value !== 'true' && value !== 'false')
      throw new Error(`${name} is either true or false, and not ${JSON.stringify(value)}`)
    const names = STAGES[name] ?? [name === 'api/v1' ? 'v1' : name]
    for (const each of names) {
      if (STAGES[name] === undefined && !known.has(each))
        throw new Error(`Kubernetes 1.36 has no API version ${each}`)
      // Everything else is stored and read with it.
      if (value === 'false' && (each === 'v1' || each === 'ga'))
        throw new Error(`${name} cannot be switched off`)
      ;(value === 'true' ? also : except).add(each)
      ;(value === 'true' ? except : also).delete(each)
    }
  }
  return { also: [...also], except: [...except] }
}

const STAGES: Readonly<Record<string, readonly string[]>> = {
  'api/all': ['beta', 'alpha'],
  'api/ga': ['ga'],
  'api/beta': ['beta'],
  'api/alpha': ['alpha'],
}
