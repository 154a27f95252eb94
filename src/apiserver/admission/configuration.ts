/** AdmissionConfiguration (apiserver.config.k8s.io/v1): what single plugins are told beyond being on or off. */
import type { Toleration } from '#api'
import { decodeYaml, type JsonObject } from '#machinery'
import { isObject } from '../json.ts'
import type { EventLimit, LimitType } from './optional/event-rate-limit.ts'
import type { NodeSelectors } from './optional/pod-node-selector.ts'
import type { TolerationRules } from './optional/pod-tolerations.ts'
import type { PodSecurityOptions } from './pod-security.ts'
import { isLevel, isVersion } from './pod-security/policy.ts'
import type { Policy } from './pod-security/violations.ts'

export interface AdmissionConfiguration {
  readonly podSecurity?: PodSecurityOptions
  readonly nodeSelectors?: NodeSelectors
  readonly tolerations?: TolerationRules
  readonly eventLimits?: readonly EventLimit[]
}

/** A plugin's own configuration; `path` names a file with it. */
interface Entry {
  readonly name: string
  readonly path: string
  readonly configuration: unknown
}

const fail = (at: string, what: string): never => {
  throw new Error(`${at}: ${what}`)
}
const objectAt = (value: unknown, at: string): JsonObject =>
  isObject(value) ? value : fail(at, 'must be an object')
const listAt = (value: unknown, at: string): readonly unknown[] =>
  value === undefined || value === null
    ? []
    : Array.isArray(value)
      ? (value as readonly unknown[])
      : fail(at, 'must be a list')
const textsAt = (value: unknown, at: string): readonly string[] =>
  listAt(value, at).map((each) => (typeof each === 'string' ? each : fail(at, 'must be texts')))

const CONFIGURATION = 'apiserver.config.k8s.io/v1'

function entriesIn(text: string): readonly Entry[] {
  const value = objectAt(decodeYaml(text).value, 'the file')
  if (value['kind'] !== 'AdmissionConfiguration' || value['apiVersion'] !== CONFIGURATION)
    fail('kind', `must be AdmissionConfiguration, of apiVersion ${CONFIGURATION}`)
  return listAt(value['plugins'], 'plugins').map((each, i) => {
    const { name, path = '', configuration } = objectAt(each, `plugins[${i}]`)
    if (typeof name !== 'string' || typeof path !== 'string')
      return fail(`plugins[${i}].name`, 'must be a text')
    return { name, path, configuration }
  })
}

type Parser = (value: JsonObject, at: string) => AdmissionConfiguration

const PARSERS: Readonly<Record<string, Parser>> = {
  PodSecurity: (value, at) => ({ podSecurity: podSecurityIn(value, at) }),
  PodNodeSelector: (value, at) => ({
    nodeSelectors: objectAt(
      value['podNodeSelectorPluginConfig'] ?? {},
      `${at}.podNodeSelectorPluginConfig`,
    ) as NodeSelectors,
  }),
  PodTolerationRestriction: (value, at) => ({
    tolerations: {
      default: listAt(value['default'], `${at}.default`) as readonly Toleration[],
      whitelist: listAt(value['whitelist'], `${at}.whitelist`) as readonly Toleration[],
    },
  }),
  EventRateLimit: (value, at) => ({ eventLimits: eventLimitsIn(value, at) }),
}

/** Throws an Error that names the field and what would be right. `read` gives the text of a file that is named. */
export async function parseAdmissionConfiguration(
  text: string,
  read: (path: string) => Promise<string>,
): Promise<AdmissionConfiguration> {
  let all: AdmissionConfiguration = {}
  for (const { name, path, configuration } of entriesIn(text)) {
    const parse = PARSERS[name] ?? fail(`plugins[${name}]`, 'has nothing to configure')
    const given = path === '' ? configuration : decodeYaml(await read(path)).value
    all = { ...all, ...parse(objectAt(given, name), name) }
  }
  return all
}

function podSecurityIn(value: JsonObject, at: string): PodSecurityOptions {
  const defaults = objectAt(value['defaults'] ?? {}, `${at}.defaults`)
  const policy = (mode: string): Policy => {
    const level = defaults[mode] || 'privileged'
    const version = defaults[`${mode}-version`] || 'latest'
    if (!isLevel(level))
      return fail(`${at}.defaults.${mode}`, 'must be one of privileged, baseline, restricted')
    if (!isVersion(version))
      return fail(`${at}.defaults.${mode}-version`, 'must be "latest" or "v1.x"')
    return { level, version }
  }
  const exemptions = objectAt(value['exemptions'] ?? {}, `${at}.exemptions`)
  const exempt = (name: string): readonly string[] =>
    textsAt(exemptions[name], `${at}.exemptions.${name}`)
  return {
    defaults: { enforce: policy('enforce'), audit: policy('audit'), warn: policy('warn') },
    exempt: {
      usernames: exempt('usernames'),
      namespaces: exempt('namespaces'),
      runtimeClasses: exempt('runtimeClasses'),
    },
  }
}

const LIMIT_TYPES: readonly string[] = ['Namespace', 'Server', 'SourceAndObject', 'User']

function eventLimitsIn(value: JsonObject, at: string): readonly EventLimit[] {
  const limits = listAt(value['limits'], `${at}.limits`)
  if (limits.length === 0) fail('limits', 'Invalid value: null: must not be empty')
  return limits.map((each, i) => {
    const path = `limits[${i}]`
    const { type, qps, burst, cacheSize = 0 } = objectAt(each, `${at}.${path}`)
    if (!LIMIT_TYPES.includes(String(type)))
      fail(
        `${path}.type`,
        `Unsupported value: ${JSON.stringify(type)}: supported values: ${LIMIT_TYPES.map((name) => JSON.stringify(name)).join(', ')}`,
      )
    const positive = (field: string, number: unknown): number =>
      typeof number === 'number' && number > 0
        ? number
        : fail(
            `${path}.${field}`,
            `Invalid value: ${JSON.stringify(number ?? 0)}: must be positive`,
          )
    if (typeof cacheSize !== 'number' || cacheSize < 0)
      fail(`${path}.cacheSize`, `Invalid value: ${JSON.stringify(cacheSize)}: must not be negative`)
    return {
      type: type as LimitType,
      qps: positive('qps', qps),
      burst: positive('burst', burst),
      cacheSize: cacheSize as number,
    }
  })
}
