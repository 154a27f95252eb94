/** Owners that are there twice are kept once, and who sent them is told (since Kubernetes 1.20). */
import type { JsonObject } from '#machinery'
import { isObject, sameJson, textOf } from '../json.ts'

/** `request` is what the client sent; `admission` what admission, or a patch, has made of it. */
type Stage = 'request' | 'admission'

const ADVICE =
  'API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: '
const WORDS: Readonly<Record<Stage, string>> = {
  request: `.metadata.ownerReferences contains duplicate entries; ${ADVICE}`,
  admission: `.metadata.ownerReferences contains duplicate entries after mutating admission happens; ${ADVICE}`,
}

/** Changes the metadata in place. Owners of one uid that differ in anything else stay. */
export function dedupOwners(
  metadata: JsonObject,
  stage: Stage,
  { warnings }: { readonly warnings: string[] },
): void {
  const { ownerReferences } = metadata
  if (!Array.isArray(ownerReferences) || ownerReferences.length < 2) return
  const kept: unknown[] = []
  const doubles: string[] = []
  const seen = new Set<string>()
  for (const owner of ownerReferences as readonly unknown[]) {
    const uid = isObject(owner) ? textOf(owner['uid']) : ''
    if (seen.has(uid) && kept.some((other) => sameJson(other, owner))) doubles.push(uid)
    else kept.push(owner)
    seen.add(uid)
  }
  if (doubles.length === 0) return
  metadata['ownerReferences'] = kept
  const warning = WORDS[stage] + doubles.join(', ')
  if (!warnings.includes(warning)) warnings.push(warning)
}
