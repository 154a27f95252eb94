/** Where traces go, and how many: TracingConfiguration (apiserver.config.k8s.io), as kube-apiserver reads it. */
import { decodeYaml } from '#machinery'

/** Where spans are sent, and how many. */
export interface TracingOptions {
  /** `host:port` of a collector that speaks OTLP over gRPC, or the URL of one that speaks it over HTTP. */
  readonly endpoint: string
  /** Of a million traces that begin here. Those that others began are collected when they say so. */
  readonly samplesPerMillion: number
}

/** Where a collector on the same machine listens. */
const DEFAULT_ENDPOINT = 'localhost:4317'
const MILLION = 1_000_000
const VERSIONS = ['v1', 'v1beta1', 'v1alpha1'].map((each) => `apiserver.config.k8s.io/${each}`)
const FIELDS: ReadonlySet<string> = new Set([
  'apiVersion',
  'kind',
  'endpoint',
  'samplingRatePerMillion',
])

/** Throws an Error that says which field is wrong. */
export function parseTracingConfiguration(text: string): TracingOptions {
  const { value } = decodeYaml(text)
  const found = value as Readonly<Record<string, unknown>> | null
  if (typeof found !== 'object' || found === null || found['kind'] !== 'TracingConfiguration')
    throw new Error('kind must be TracingConfiguration')
  if (!VERSIONS.includes(String(found['apiVersion'])))
    throw new Error(`apiVersion must be one of ${VERSIONS.join(', ')}`)
  const strange = Object.keys(found).find((field) => !FIELDS.has(field))
  if (strange !== undefined) throw new Error(`unknown field ${JSON.stringify(strange)}`)
  const endpoint = found['endpoint'] ?? DEFAULT_ENDPOINT
  const samples = found['samplingRatePerMillion'] ?? 0
  if (typeof endpoint !== 'string') throw new Error('endpoint must be a string')
  if (typeof samples !== 'number' || !Number.isInteger(samples))
    throw new Error('samplingRatePerMillion must be a whole number')
  if (samples < 0) throw new Error('samplingRatePerMillion must be positive')
  if (samples > MILLION)
    throw new Error(`samplingRatePerMillion must be less than or equal to ${MILLION}`)
  checkEndpoint(endpoint)
  return { endpoint, samplesPerMillion: samples }
}

/** Throws an Error when it is neither `host:port` nor a URL. */
export function checkEndpoint(endpoint: string): void {
  const asUrl = /^https?:\/\//.test(endpoint) ? endpoint : `http://${endpoint}`
  if (!URL.canParse(asUrl) || new URL(asUrl).host === '')
    throw new Error(`endpoint ${JSON.stringify(endpoint)} must be host:port, or an http(s) URL`)
}
