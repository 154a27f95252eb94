/** How the server's seats are shared among priority levels: shares, lending and borrowing (KEP-1040). */
import type { PriorityLevelConfiguration } from '#api'

export interface Share {
  readonly name: string
  /** Seats that are the level's own. */
  readonly nominal: number
  /** How many of them others may use while it does not. */
  readonly lendable: number
  /** How many of others' it may use at most. */
  readonly borrowable: number
}

/** Each level's seats: its part of all shares, rounded up, so that each level has at least one. */
export function shareSeats(
  levels: readonly PriorityLevelConfiguration[],
  seats: number,
): readonly Share[] {
  const partOf = ({ spec }: PriorityLevelConfiguration) =>
    spec.type === 'Exempt' ? spec.exempt : spec.limited
  const all = levels.reduce((sum, level) => sum + (partOf(level)?.nominalConcurrencyShares ?? 0), 0)
  return levels.map((level) => {
    const part = partOf(level)
    const shares = part?.nominalConcurrencyShares ?? 0
    const nominal = all === 0 ? 0 : Math.ceil((seats * shares) / all)
    const limit = level.spec.limited?.borrowingLimitPercent
    return {
      name: level.metadata.name ?? '',
      nominal,
      lendable: Math.round((nominal * (part?.lendablePercent ?? 0)) / 100),
      borrowable: limit === undefined ? Infinity : Math.round((nominal * limit) / 100),
    }
  })
}

/** A level as it is now. */
export interface Use extends Share {
  readonly inUse: number
}

/**
 * Seats that the level may hold now. It borrows what others lend and do not use; when a lender wants its
 * seats back it waits for the first borrower to finish, which is soon, because requests are short.
 */
export function limitOf(level: Use, levels: Iterable<Use>): number {
  let spare = 0
  let borrowed = 0
  for (const other of levels) {
    if (other.name === level.name) continue
    spare += Math.min(other.lendable, Math.max(0, other.nominal - other.inUse))
    borrowed += Math.max(0, other.inUse - other.nominal)
  }
  return level.nominal + Math.min(level.borrowable, Math.max(0, spare - borrowed))
}
