/** Durations in the form of Go. */

const UNIT_NANOS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1000n,
  µs: 1000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
}

/** Go's form of a duration, `1h2m3.5s`, in nanoseconds. */
export function durationNanos(duration: string): bigint {
  let nanos = 0n
  for (const [, whole = '0', fraction = '', unit = 's'] of duration.matchAll(
    /(\d*)(?:\.(\d+))?(ns|us|µs|ms|s|m|h)/g,
  )) {
    const scale = UNIT_NANOS[unit] ?? 0n
    nanos +=
      BigInt(whole || '0') * scale +
      (fraction === '' ? 0n : (BigInt(fraction) * scale) / 10n ** BigInt(fraction.length))
  }
  return duration.startsWith('-') ? -nanos : nanos
}

/** Nanoseconds in Go's form: `1h2m3.5s`. */
export function formatDuration(nanos: bigint): string {
  if (nanos === 0n) return '0s'
  const sign = nanos < 0n ? '-' : ''
  const size = nanos < 0n ? -nanos : nanos
  const decimal = (value: bigint, unit: bigint): string => {
    const fraction = (value % unit)
      .toString()
      .padStart(unit.toString().length - 1, '0')
      .replace(/0+$/, '')
    return `${value / unit}${fraction === '' ? '' : `.${fraction}`}`
  }
  if (size < 1000n) return `${sign}${size}ns`
  if (size < 1_000_000n) return `${sign}${decimal(size, 1000n)}µs`
  if (size < 1_000_000_000n) return `${sign}${decimal(size, 1_000_000n)}ms`
  const hours = size / 3_600_000_000_000n
  const minutes = (size / 60_000_000_000n) % 60n
  const seconds = decimal(size % 60_000_000_000n, 1_000_000_000n)
  return `${sign}${hours > 0n ? `${hours}h` : ''}${hours > 0n || minutes > 0n ? `${minutes}m` : ''}${seconds}s`
}
