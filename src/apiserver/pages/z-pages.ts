/**
 * `/statusz` and `/flagz` (KEP-4827, KEP-4828): what this program is and how it was started, for people as
 * text and for programs as an object, for which they have to ask by its whole media type.
 */
import type { Clock } from '#base'
import type { JsonObject } from '#machinery'
import type { Exchange, Handler, Reply } from '../exchange.ts'
import { MEDIA_TYPES, notAcceptable, parseAccept, type Encoding } from '../negotiate.ts'
import { textReply } from '../replies.ts'

export interface ZPagesOptions {
  readonly clock: Pick<Clock, 'now' | 'monotonic'>
  /** `v1.36.0`; the emulated one is the same. */
  readonly version: string
  /** What it runs on. */
  readonly runtime: string
  /** Pages for people, shown by /statusz. */
  readonly paths: readonly string[]
  /** By name, without dashes. Nothing secret: everybody who may monitor sees them. */
  readonly flags: Readonly<Record<string, string>>
  /** Writes an object in an encoding. */
  readonly encode: (value: JsonObject, encoding: Encoding) => Uint8Array
}

const NAME = 'kube-apiserver'
const GROUP = 'config.k8s.io'
const VERSIONS: readonly string[] = ['v1beta1', 'v1alpha1']
const WARNING =
  'Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for debugging purposes only.'

export function zPages(options: ZPagesOptions): Readonly<Record<'/statusz' | '/flagz', Handler>> {
  const { clock, version, runtime, paths, flags, encode } = options
  const started = clock.now()
  const startedMs = clock.monotonic()
  const binary = version.replace(/^v/, '').replace(/\+.*$/, '')
  const upSeconds = (): number => Math.floor((clock.monotonic() - startedMs) / 1000)
  const page =
    (kind: 'Statusz' | 'Flagz', text: () => string, fields: () => JsonObject): Handler =>
    (exchange) => {
      const wanted = wantedForm(exchange, kind)
      if (wanted === 'text') return Promise.resolve(textReply(200, text()))
      if (wanted.version !== VERSIONS[0])
        exchange.warnings.push(
          `This version of the ${kind.toLowerCase()} endpoint is deprecated. Please use a newer version.`,
        )
      const value = {
        kind,
        apiVersion: `${GROUP}/${wanted.version}`,
        metadata: { name: NAME },
        ...fields(),
      }
      return Promise.resolve({
        status: 200,
        headers: { 'content-type': MEDIA_TYPES[wanted.encoding] },
        body: encode(value, wanted.encoding),
      } satisfies Reply)
    }
  return {
    '/statusz': page(
      'Statusz',
      () =>
        [
          `\n${NAME} statusz`,
          `${WARNING}\n`,
          `Started: ${goDate(started)}`,
          `Up: ${upText(upSeconds())}`,
          `Go version: ${runtime}`,
          `Binary version: ${binary}`,
          `Emulation version: ${majorMinor(binary)}`,
          `Paths: ${paths.toSorted().join(' ')}\n`,
        ].join('\n'),
      () => ({
        startTime: `${started.toISOString().slice(0, 19)}Z`,
        uptimeSeconds: upSeconds(),
        goVersion: runtime,
        binaryVersion: binary,
        emulationVersion: majorMinor(binary),
        paths: paths.toSorted(),
      }),
    ),
    '/flagz': page(
      'Flagz',
      () =>
        [
          `\n${NAME} flags`,
          `${WARNING}\n`,
          ...Object.entries(flags)
            .toSorted(([a], [b]) => (a < b ? -1 : 1))
            .map(([name, value]) => `${name}=${value}`),
          '',
        ].join('\n'),
      () => ({ flags }),
    ),
  }
}

const majorMinor = (version: string): string => version.split('.').slice(0, 2).join('.')

const TEXT: ReadonlySet<string> = new Set(['text/plain', 'text/*', '*/*'])
const ENCODINGS: Readonly<Record<string, Encoding>> = {
  'application/json': 'json',
  'application/yaml': 'yaml',
}

/** Text, unless an object is asked for with its group, version and kind: a bare `application/json` is none. */
function wantedForm(
  { headers: { accept } }: Exchange,
  kind: string,
): 'text' | { readonly encoding: Encoding; readonly version: string } {
  if (accept === undefined || accept === '') return 'text'
  for (const { type, parameters, quality } of parseAccept(accept)) {
    if (quality <= 0) continue
    if (TEXT.has(type)) return 'text'
    const encoding = ENCODINGS[type]
    const { g, v = '', as } = parameters
    if (encoding !== undefined && g === GROUP && as === kind && VERSIONS.includes(v))
      return { encoding, version: v }
  }
  throw notAcceptable([
    'text/plain',
    ...Object.keys(ENCODINGS).map((type) => `${type};g=${GROUP};v=${VERSIONS[0]};as=${kind}`),
  ])
}

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ')

/** `Wed Oct 16 21:03:43 UTC 2024` */
const goDate = (date: Date): string =>
  `${DAYS[date.getUTCDay()]} ${MONTHS[date.getUTCMonth()]} ${String(date.getUTCDate()).padStart(2)} ${date.toISOString().slice(11, 19)} UTC ${date.getUTCFullYear()}`

/** `1 hr 02 min 16 sec` */
const upText = (seconds: number): string =>
  `${Math.floor(seconds / 3600)} hr ${String(Math.floor(seconds / 60) % 60).padStart(2, '0')} min ${String(seconds % 60).padStart(2, '0')} sec`
