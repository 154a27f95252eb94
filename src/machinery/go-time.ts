/** Times in JSON, read as strictly as Go reads them, and refused in its words: clients and their tests compare those. */

const SECONDS = '2006-01-02T15:04:05Z07:00'
const MICROS = '2006-01-02T15:04:05.000000Z07:00'

const FORM =
  /^(\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(\.\d+)?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/

export type GoTime =
  | { readonly ok: true; /** In UTC. */ readonly text: string }
  | { readonly ok: false; readonly why: string }

/** metav1.Time, or metav1.MicroTime, which has six digits of a second and no other number of them. */
export function readGoTime(value: string, { micros }: { readonly micros: boolean }): GoTime {
  const [match, seconds = '', fraction = '', zone = 'Z'] = FORM.exec(value) ?? []
  const asUtc = match === undefined ? Number.NaN : Date.parse(`${seconds}Z`)
  // A day that its month does not have would silently be one of the next.
  const isDay =
    !Number.isNaN(asUtc) && new Date(asUtc).getUTCDate() === Number(seconds.slice(8, 10))
  if (!isDay || (micros && fraction.length !== MICRO_LENGTH))
    return { ok: false, why: `parsing time ${JSON.stringify(value)}${complaint(value, micros)}` }
  const inUtc = zone === 'Z' ? seconds : new Date(asUtc - offsetMs(zone)).toISOString().slice(0, 19)
  return { ok: true, text: `${inUtc}${micros ? fraction : ''}Z` }
}

/** The point and six digits. */
const MICRO_LENGTH = 7

function offsetMs(zone: string): number {
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4, 6))
  return (zone.startsWith('-') ? -minutes : minutes) * 60_000
}

interface Element {
  /** As the layout has it. */
  readonly element: string
  readonly form: RegExp
  readonly name?: string
  readonly range?: readonly [number, number]
}

const literal = (element: string): Element => ({ element, form: new RegExp(`^${element}`) })
const number = (
  element: string,
  form: RegExp,
  name: string,
  range: readonly [number, number],
): Element => ({ element, form, name, range })

const DATE: readonly Element[] = [
  { element: '2006', form: /^\d{4}/ },
  literal('-'),
  number('01', /^\d\d/, 'month', [1, 12]),
  literal('-'),
  { element: '02', form: /^\d\d/ },
  literal('T'),
  number('15', /^\d\d?/, 'hour', [0, 23]),
  literal(':'),
  number('04', /^\d\d/, 'minute', [0, 59]),
  literal(':'),
]
const SECOND = number('05', /^\d\d/, 'second', [0, 59])
const ZONE: Element = { element: 'Z07:00', form: /^(Z|[+-]\d\d:\d\d)/ }
const LAYOUTS = {
  seconds: [...DATE, { ...SECOND, form: /^\d\d(?:[.,]\d+)?/ }, ZONE],
  micros: [...DATE, SECOND, { element: '.000000', form: /^[.,]\d{6}/ }, ZONE],
}

/** What of a time is not as it should be: the first element of the layout that does not fit. */
function complaint(value: string, micros: boolean): string {
  let rest = value
  for (const { element, form, name, range } of LAYOUTS[micros ? 'micros' : 'seconds']) {
    const [found] = form.exec(rest) ?? []
    if (found === undefined)
      return ` as ${JSON.stringify(micros ? MICROS : SECONDS)}: cannot parse ${JSON.stringify(rest)} as ${JSON.stringify(element)}`
    const amount = Number(found.slice(0, 2))
    if (range !== undefined && (amount < range[0] || amount > range[1]))
      return `: ${name} out of range`
    rest = rest.slice(found.length)
  }
  return rest === '' ? ': day out of range' : `: extra text: ${JSON.stringify(rest)}`
}
