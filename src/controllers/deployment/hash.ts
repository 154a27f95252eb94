/** The pod-template-hash: names a template, so that the same one finds its ReplicaSet again. */
import type { PodTemplateSpec } from '#api'

export const HASH_LABEL = 'pod-template-hash'

/** FNV-1a, 32 bits, over the template as JSON and the count of collisions; in letters that form no words. */
export function templateHash(
  template: PodTemplateSpec,
  collisionCount: number | undefined,
): string {
  let hash = 0x811c9dc5
  const text =
    canonical(withoutHash(template)) + (collisionCount === undefined ? '' : `#${collisionCount}`)
  for (let i = 0; i < text.length; i++)
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0
  return safe(String(hash))
}

/** Digits as consonants and digits that cannot form a word. */
const ALPHABET = 'bcdfghjklmnpqrstvwxz2456789'
const safe = (digits: string): string =>
  digits.replaceAll(/./g, (digit) => ALPHABET[digit.charCodeAt(0) % ALPHABET.length] ?? '')

function withoutHash(template: PodTemplateSpec): PodTemplateSpec {
  const labels = template.metadata?.labels
  if (labels?.[HASH_LABEL] === undefined) return template
  const { [HASH_LABEL]: _, ...rest } = labels
  return {
    ...template,
    metadata: { ...template.metadata, labels: rest } as PodTemplateSpec['metadata'] & object,
  }
}

/** Equal but for the hash label: such a ReplicaSet runs this template. */
export const sameTemplate = (a: PodTemplateSpec, b: PodTemplateSpec): boolean =>
  canonical(withoutHash(a)) === canonical(withoutHash(b))

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  const parts = Object.entries(value)
    .filter(([, item]) => item !== undefined && item !== null)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`)
  return `{${parts.join(',')}}`
}
