/**
 * A deadline as gRPC takes it: milliseconds of the wall clock. The library compares it with `Date` when a call
 * begins and counts the rest by a timer, so it must be told the wall time of that moment: one that was carried
 * on from the start of the process would lie in the past for ever after the machine slept, or its clock was set.
 */
export const grpcDeadline = (ms: number): number => Date.now() + ms
