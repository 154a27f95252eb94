/**
 * What names, keys and labels may look like. A rule says what is wrong with a value, in the words of Kubernetes 1.36,
 * which clients and their tests compare; an empty answer is a good value. Lengths are those of UTF-8.
 */

/** What is wrong with the value; nothing when it is good. */
export type NameRule = (value: string) => readonly string[]

const GOOD: readonly string[] = []

const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?'
const SUBDOMAIN = `${LABEL}(\\.${LABEL})*`
const LABEL_WITH_UNDERSCORE = '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?'
const SUBDOMAIN_WITH_UNDERSCORE = `${LABEL_WITH_UNDERSCORE}(\\.${LABEL_WITH_UNDERSCORE})*`
const KEY = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]'

const whole = (pattern: string): RegExp => new RegExp(`^${pattern}$`)
const LABEL_FORM = whole(LABEL)
const SUBDOMAIN_FORM = whole(SUBDOMAIN)
const KEY_FORM = whole(KEY)

/** Newer rules count bytes and older ones characters, in words: the count is of bytes in both. */
const tooLong = (max: number, unit: 'characters' | 'bytes'): string =>
  `must be no more than ${max} ${unit}`

function isLonger(value: string, max: number): boolean {
  if (value.length > max) return true
  // A character has three bytes at most for each unit of its length here.
  return value.length * 3 > max && Buffer.byteLength(value) > max
}

function explain(about: string, pattern: string, ...examples: readonly string[]): string {
  const shown = examples.map((example) => `'${example}', `).join(' or ')
  return examples.length === 0
    ? `${about} (regex used for validation is '${pattern}')`
    : `${about} (e.g. ${shown}regex used for validation is '${pattern}')`
}

/** A value of a form, and of a length that is bounded. */
function formRule(
  form: RegExp,
  words: string,
  max = Infinity,
  unit: 'characters' | 'bytes' = 'characters',
): NameRule {
  return (value) => {
    const long = isLonger(value, max)
    if (form.test(value)) return long ? [tooLong(max, unit)] : GOOD
    return long ? [tooLong(max, unit), words] : [words]
  }
}

const DNS_LABEL_WORDS = explain(
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
  LABEL,
  'my-name',
  '123-abc',
)
/** A label of DNS, as in RFC 1123: namespaces and most names that become host names. */
export const dnsLabel: NameRule = (value) => {
  const wrong: string[] = []
  if (isLonger(value, 63)) wrong.push(tooLong(63, 'characters'))
  if (!LABEL_FORM.test(value))
    wrong.push(SUBDOMAIN_FORM.test(value) ? 'must not contain dots' : DNS_LABEL_WORDS)
  return wrong
}

const DNS_SUBDOMAIN_WORDS = explain(
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
  SUBDOMAIN,
  'example.com',
)
/** A name of DNS, as in RFC 1123: the names of most objects. */
export const dnsSubdomain = formRule(SUBDOMAIN_FORM, DNS_SUBDOMAIN_WORDS, 253)

/** A subdomain (RFC 1123) in which underscores are allowed too. */
export const dnsSubdomainWithUnderscore = formRule(
  whole(SUBDOMAIN_WITH_UNDERSCORE),
  explain(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character",
    SUBDOMAIN_WITH_UNDERSCORE,
    'example.com',
  ),
  253,
)

const DNS1035 = '[a-z]([-a-z0-9]*[a-z0-9])?'
/** A label of DNS that begins with a letter, as in RFC 1035: kinds' plural names, for example. */
export const dns1035Label = formRule(
  whole(DNS1035),
  explain(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
    DNS1035,
    'my-name',
    'abc-123',
  ),
  63,
)

const WILDCARD = `\\*\\.${SUBDOMAIN}`
/** Any host below a domain: `*.example.com`. */
export const wildcardSubdomain = formRule(
  whole(WILDCARD),
  explain(
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
    WILDCARD,
    '*.example.com',
  ),
  253,
)

/** Rules of names, as they hold for what is before a generated suffix: a dash may be last there. */
export const asPrefix =
  (rule: NameRule): NameRule =>
  (value) =>
    rule(value.length > 1 && value.endsWith('-') ? `${value.slice(0, -2)}a` : value)

const KEY_WORDS = explain(
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
  KEY,
  'MyName',
  'my.name',
  '123-abc',
)
const keyPrefix = formRule(SUBDOMAIN_FORM, DNS_SUBDOMAIN_WORDS, 253, 'bytes')

/** Keys of labels and annotations, names of resources, finalizers and taints: `app`, `example.com/app`. */
export const qualifiedName: NameRule = (value) => {
  const parts = value.split('/')
  if (parts.length > 2)
    return [
      `a valid label key ${KEY_WORDS} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ]
  const name = parts.at(-1) ?? ''
  const wrong: string[] = []
  if (parts.length === 2) {
    const prefix = parts[0] ?? ''
    if (prefix === '') wrong.push('prefix part must be non-empty')
    else wrong.push(...keyPrefix(prefix).map((why) => `prefix part ${why}`))
  }
  if (name === '') wrong.push('name part must be non-empty')
  else if (isLonger(name, 63)) wrong.push(`name part ${tooLong(63, 'bytes')}`)
  if (!KEY_FORM.test(name)) wrong.push(`name part ${KEY_WORDS}`)
  return wrong
}

const VALUE = `(${KEY})?`
/** At most 63 characters, empty or with a letter or digit at both ends. */
export const labelValue = formRule(
  whole(VALUE),
  explain(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    VALUE,
    'MyValue',
    'my_value',
    '12345',
  ),
  63,
  'bytes',
)

const IDENTIFIER = '[A-Za-z_][A-Za-z0-9_]*'
/** A name in the language C. */
export const cIdentifier = formRule(
  whole(IDENTIFIER),
  explain(
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
    IDENTIFIER,
    'my_name',
    'MY_NAME',
    'MyName',
  ),
)

/** Names of environment variables, as containers may set them. */
export const envName: NameRule = (value) => {
  if (value === '') return ['environment variable name must be non-empty']
  return /^[ -<>-~]*$/.test(value)
    ? GOOD
    : [
        "a valid environment variable name must consist only of printable ASCII characters other than '='",
      ]
}

const STRICT_ENV = '[-._a-zA-Z][-._a-zA-Z0-9]*'
const strictEnvForm = formRule(
  whole(STRICT_ENV),
  explain(
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit",
    STRICT_ENV,
    'my.env-name',
    'MY_ENV.NAME',
    'MyEnvName1',
  ),
)
/** Names of environment variables as programs of all kinds take them. */
export const strictEnvName: NameRule = (value) => [...strictEnvForm(value), ...parentFolder(value)]

const CONFIG_KEY = '[-._a-zA-Z0-9]+'
const configKeyForm = formRule(
  whole(CONFIG_KEY),
  explain(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    CONFIG_KEY,
    'key.name',
    'KEY_NAME',
    'key-name',
  ),
  253,
)
/** Keys of config maps and secrets: they become names of files. */
export const configKey: NameRule = (value) => [...configKeyForm(value), ...parentFolder(value)]

function parentFolder(value: string): readonly string[] {
  if (value === '.') return ["must not be '.'"]
  if (value === '..') return ["must not be '..'"]
  return value.startsWith('..') ? ["must not start with '..'"] : GOOD
}

/** Names of services as IANA keeps them, RFC 6335 §5.1, in small letters. */
export const portName: NameRule = (value) => {
  const wrong: string[] = []
  if (isLonger(value, 15)) wrong.push(tooLong(15, 'characters'))
  if (!/^[-a-z0-9]+$/.test(value))
    wrong.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)')
  if (!/[a-z]/.test(value)) wrong.push('must contain at least one letter (a-z)')
  if (value.includes('--')) wrong.push('must not contain consecutive hyphens')
  if (value.startsWith('-') || value.endsWith('-'))
    wrong.push('must not begin or end with a hyphen')
  return wrong
}

/** Both ends are allowed. */
export const inRange = (value: number, least: number, most: number): readonly string[] =>
  value >= least && value <= most ? GOOD : [`must be between ${least} and ${most}, inclusive`]

/** From 1 to 65535. */
export const portNumber = (value: number): readonly string[] => inRange(value, 1, 65_535)

const HTTP_HEADER = '[-A-Za-z0-9]+'
/** The name of a header (RFC 9110). */
export const httpHeaderName = formRule(
  whole(HTTP_HEADER),
  explain(
    "a valid HTTP header must consist of alphanumeric characters or '-'",
    HTTP_HEADER,
    'X-Header-Name',
  ),
)

const PERCENT = '[0-9]+%'
/** `10%` */
export const percentage = formRule(
  whole(PERCENT),
  explain(
    "a valid percent string must be a numeric string followed by an ending '%'",
    PERCENT,
    '1%',
    '93%',
  ),
)

/** Anything that can stand in a path between two slashes: names of roles, for example. */
export const pathSegment: NameRule = (value) =>
  value === '.' || value === '..' ? [`may not be '${value}'`] : pathSegmentPrefix(value)

/** What the beginning of a segment of a path may be: neither a slash nor a percent sign is in it. */
export const pathSegmentPrefix: NameRule = (value) =>
  ['/', '%'].filter((each) => value.includes(each)).map((each) => `may not contain '${each}'`)
