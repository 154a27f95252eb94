/** Named formats of texts, and keys of JSON patches. */
import {
  asPrefix,
  dns1035Label,
  dnsLabel,
  dnsSubdomain,
  labelValue,
  qualifiedName,
  type NameRule,
} from '#machinery'
import { overload, type Overload } from '../functions.ts'
import { CelOpaque, CelOptional } from '../values.ts'
import { nominal, parsed, validates } from './costs.ts'
import { isUrl } from './url.ts'

const FORMAT = 'kubernetes.NamedFormat'

class NamedFormat extends CelOpaque {
  readonly typeName = FORMAT
  readonly name: string
  readonly rule: NameRule
  /** Characters of its regular expression, for the cost. */
  readonly pattern: number
  constructor(name: string, { rule, pattern }: Named) {
    super()
    this.name = name
    this.rule = rule
    this.pattern = pattern
  }
  equals(other: CelOpaque): boolean {
    return other instanceof NamedFormat && other.name === this.name
  }
  toString(): string {
    return this.name
  }
}

interface Named {
  readonly rule: NameRule
  readonly pattern: number
}

const byForm =
  (form: RegExp, words: string): NameRule =>
  (value) =>
    form.test(value) ? [] : [words]

const FORMATS: Readonly<Record<string, Named>> = {
  dns1123Label: { rule: dnsLabel, pattern: 30 },
  dns1123Subdomain: { rule: dnsSubdomain, pattern: 60 },
  dns1035Label: { rule: dns1035Label, pattern: 30 },
  dns1123LabelPrefix: { rule: asPrefix(dnsLabel), pattern: 30 },
  dns1123SubdomainPrefix: { rule: asPrefix(dnsSubdomain), pattern: 60 },
  dns1035LabelPrefix: { rule: asPrefix(dns1035Label), pattern: 30 },
  qualifiedName: { rule: qualifiedName, pattern: 60 },
  labelValue: { rule: labelValue, pattern: 40 },
  uri: {
    rule: (value) =>
      isUrl(value) ? [] : [`parse ${JSON.stringify(value)}: invalid URI for request`],
    pattern: 100,
  },
  uuid: {
    rule: byForm(
      /^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$/,
      'does not match the UUID format',
    ),
    pattern: 36,
  },
  byte: {
    rule: byForm(
      /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/,
      'invalid base64',
    ),
    pattern: 128,
  },
  date: {
    rule: byForm(/^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/, 'invalid date'),
    pattern: 128,
  },
  datetime: {
    rule: byForm(
      /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/,
      'invalid datetime',
    ),
    pattern: 128,
  },
}
/** What the estimate takes each of them for. */
const LONGEST_PATTERN = 128

const formats = new Map(
  Object.entries(FORMATS).map(([name, named]) => [name, new NamedFormat(name, named)]),
)

export const formatLibrary: readonly Overload[] = [
  ...[...formats].map(([name, format]) =>
    overload(`::format.${name}(): ${FORMAT}`, () => format, nominal),
  ),
  overload(
    `::format.named(string): optional_type<${FORMAT}>`,
    (name: string) => {
      const format = formats.get(name)
      return format === undefined ? CelOptional.none : CelOptional.of(format)
    },
    nominal,
  ),
  overload(
    `${FORMAT}.validate(string): optional_type<list<string>>`,
    ({ rule }: NamedFormat, text: string) => {
      const problems = rule(text)
      return problems.length === 0 ? CelOptional.none : CelOptional.of(problems)
    },
    validates(
      (format) => (format instanceof NamedFormat ? format.pattern : LONGEST_PATTERN),
      LONGEST_PATTERN,
    ),
  ),
]

export const patchLibrary: readonly Overload[] = [
  overload(
    '::jsonpatch.escapeKey(string): string',
    (key: string) => key.replaceAll('~', '~0').replaceAll('/', '~1'),
    parsed,
  ),
]
