/** The order of API versions. */

/** `v2` before `v1` before `v1beta1` before `v1alpha1`, as clients sort them. */
export function compareVersions(a: string, b: string): number {
  const left = versionRank(a)
  const right = versionRank(b)
  for (let i = 0; i < 3; i++) if (left[i] !== right[i]) return right[i]! - left[i]!
  return a < b ? -1 : a > b ? 1 : 0
}

function versionRank(version: string): readonly number[] {
  const found = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version)
  if (found === null) return [0, 0, 0]
  const stage = found[2] === undefined ? 3 : found[2] === 'beta' ? 2 : 1
  return [stage, Number(found[1]), Number(found[3] ?? 0)]
}
