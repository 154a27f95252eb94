/** What a kubelet can be told, in the notation of its flags: read, and refused with what is wrong. */
import { parseQuantity, quantityValue } from '#machinery'
import type { Node } from '#api'
import { amount, SIGNALS, type Bound, type Signal, type Thresholds } from './eviction/signals.ts'

export type Taint = NonNullable<NonNullable<Node['spec']>['taints']>[number]

/** Says what is wrong with a setting, not which one it is. */
export class SettingError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'SettingError'
  }
}

/** `memory.available<100Mi,nodefs.available<10%`. What is not named has no threshold then, as upstream. */
export function parseThresholds(text: string): Thresholds {
  const found: Partial<Record<Signal, Bound>> = {}
  for (const [name, value] of pairs(text, '<')) {
    const signal = signalOf(name)
    if (found[signal] !== undefined)
      throw new SettingError(`there are two thresholds for ${signal}`)
    found[signal] = boundFrom(signal, value)
  }
  // Nothing may be left of it: that is how a threshold is taken away.
  return Object.fromEntries(
    Object.entries(found).filter(([, { part, most }]) => part > 0 && most > 0),
  )
}

/** `memory.available=1m30s`, in milliseconds. */
export function parseGracePeriods(text: string): Readonly<Partial<Record<Signal, number>>> {
  return Object.fromEntries(
    [...pairs(text, '=')].map(([name, value]) => {
      const ms = durationMs(value)
      if (ms === undefined || ms <= 0)
        throw new SettingError(
          `the grace period of ${name} must be a duration like 1m30s, not ${JSON.stringify(value)}`,
        )
      return [signalOf(name), ms]
    }),
  )
}

/** Each soft threshold has a grace period. */
export function checkSoft(
  thresholds: Thresholds,
  afterMs: Readonly<Partial<Record<Signal, number>>>,
): void {
  const missing = (Object.keys(thresholds) as readonly Signal[]).find(
    (signal) => afterMs[signal] === undefined,
  )
  if (missing !== undefined)
    throw new SettingError(`there is no grace period for the soft threshold of ${missing}`)
}

function* pairs(
  text: string,
  separator: string,
  form = 'SIGNAL',
): Generator<readonly [string, string]> {
  for (const part of text.split(',')) {
    if (part.trim() === '') continue
    const at = part.indexOf(separator)
    if (at < 0)
      throw new SettingError(`${JSON.stringify(part)} is not of the form ${form}${separator}VALUE`)
    yield [part.slice(0, at).trim(), part.slice(at + separator.length).trim()]
  }
}

function signalOf(name: string): Signal {
  const found = SIGNALS.find((signal) => signal === name)
  if (found === undefined)
    throw new SettingError(`there is no signal ${JSON.stringify(name)}, but ${SIGNALS.join(', ')}`)
  return found
}

function boundFrom(signal: Signal, text: string): Bound {
  if (text.endsWith('%')) {
    const percent = Number(text.slice(0, -1))
    if (text.length === 1 || !(percent >= 0 && percent <= 100))
      throw new SettingError(`${signal} must be a percentage from 0% to 100%, not ${text}`)
    return { part: percent / 100, most: Number.POSITIVE_INFINITY }
  }
  if (parseQuantity(text) === undefined || quantityValue(text) <= 0)
    throw new SettingError(
      `${signal} must be a percentage or a positive quantity like 100Mi, not ${JSON.stringify(text)}`,
    )
  return amount(quantityValue(text))
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** As Go writes durations; undefined for anything else. */
function durationMs(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) return undefined
  let total = 0
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g))
    total += Number(number) * (UNITS[unit ?? ''] ?? 0)
  return total
}

const NAME = '[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?'
const KEY = new RegExp(`^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?${NAME}$`)
const VALUE = new RegExp(`^(${NAME})?$`)
/** Labels of these prefixes nodes may give themselves; beside them those that say what a machine is. */
const OWN_PREFIXES = ['kubelet.kubernetes.io', 'node.kubernetes.io']
const OWN_LABELS: ReadonlySet<string> = new Set([
  'beta.kubernetes.io/arch',
  'beta.kubernetes.io/instance-type',
  'beta.kubernetes.io/os',
  'failure-domain.beta.kubernetes.io/region',
  'failure-domain.beta.kubernetes.io/zone',
  'kubernetes.io/arch',
  'kubernetes.io/hostname',
  'kubernetes.io/os',
  'node.kubernetes.io/instance-type',
  'topology.kubernetes.io/region',
  'topology.kubernetes.io/zone',
])

/** `disk=ssd,topology.kubernetes.io/zone=a`. */
export function parseNodeLabels(text: string): Readonly<Record<string, string>> {
  const labels = Object.fromEntries(
    [...pairs(text, '=', 'KEY')].map(([key, value]) => {
      if (!KEY.test(key)) throw new SettingError(`${JSON.stringify(key)} cannot be a label's key`)
      if (!VALUE.test(value))
        throw new SettingError(`${JSON.stringify(value)} cannot be a label's value`)
      return [key, value]
    }),
  )
  const foreign = Object.keys(labels).filter((key) => !isOwn(key))
  if (foreign.length > 0)
    throw new SettingError(
      `nodes may not give themselves ${foreign.join(', ')}: of the names of Kubernetes only those that begin with ${OWN_PREFIXES.join(' or ')}, or ${[...OWN_LABELS].join(', ')}`,
    )
  return labels
}

function isOwn(key: string): boolean {
  const [prefix = '', name] = key.split('/')
  if (name === undefined || !/(^|\.)(kubernetes|k8s)\.io$/.test(prefix)) return true
  return (
    OWN_LABELS.has(key) || OWN_PREFIXES.some((own) => prefix === own || prefix.endsWith(`.${own}`))
  )
}

const EFFECTS = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'] as const

/** `dedicated=db:NoSchedule,fresh:NoExecute`. */
export function parseTaints(text: string): readonly Taint[] {
  const taints = text
    .split(',')
    .filter((part) => part.trim() !== '')
    .map((part): Taint => {
      const [, key = '', value = '', effect = ''] =
        /^([^=:]+)(?:=([^:]*))?:(.*)$/.exec(part.trim()) ?? []
      const known = EFFECTS.find((each) => each === effect)
      if (!KEY.test(key) || !VALUE.test(value) || known === undefined)
        throw new SettingError(
          `${JSON.stringify(part)} is not of the form KEY=VALUE:EFFECT with an effect of ${EFFECTS.join(', ')}`,
        )
      return { key, effect: known, ...(value === '' ? {} : { value }) }
    })
  const seen = new Set<string>()
  for (const { key, effect } of taints) {
    if (seen.has(`${key}:${effect}`))
      throw new SettingError(`there are two taints ${key}:${effect}`)
    seen.add(`${key}:${effect}`)
  }
  return taints
}
