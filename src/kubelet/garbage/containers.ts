/** Which ended containers a node gives up. */
import type { PodContainer, PodRuntime } from '../pod/pod-runtime.ts'

/** Of each container one that has ended stays, for its log, beside the newest. */
const KEPT = 1

/** With `all`, none is kept: the disk is full. The newest of each name says what became of the container: it stays. */
export function containersToRemove(
  { containers }: PodRuntime,
  { all = false }: { readonly all?: boolean } = {},
): readonly PodContainer[] {
  const byName = new Map<string, PodContainer[]>()
  // The newest come first.
  for (const container of containers) {
    const list = byName.get(container.name) ?? []
    list.push(container)
    byName.set(container.name, list)
  }
  return [...byName.values()].flatMap((attempts) =>
    attempts
      .slice(1)
      .filter(({ state }) => state === 'exited')
      .slice(all ? 0 : KEPT),
  )
}
