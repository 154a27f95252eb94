/** What functions and operators take and give: cel-spec's standard ones and those of Kubernetes' libraries. */
import {
  BOOL,
  BYTES,
  DOUBLE,
  DURATION,
  DYN,
  INT,
  NULL,
  STRING,
  TIMESTAMP,
  UINT,
  listOf,
  mapOf,
  opaque,
  optionalOf,
  type CelType,
} from './types.ts'

export interface Overload {
  readonly isMethod: boolean
  readonly args: readonly CelType[]
  readonly result: CelType
}

/** `(string) size int`: a method of string; `size(string) int`: a function. A, B stand for any one type. */
const TEXT = `
!_(bool) bool
-_(int) int
-_(double) double
_==_(A, A) bool
_!=_(A, A) bool
_[_](list<A>, int) A
_[_](map<A,B>, A) B
_[_](optional<list<A>>, int) optional<A>
_[_](optional<map<A,B>>, A) optional<B>
_[?_](list<A>, int) optional<A>
_[?_](map<A,B>, A) optional<B>
_[?_](optional<list<A>>, int) optional<A>
_[?_](optional<map<A,B>>, A) optional<B>
@in(A, list<A>) bool
@in(A, map<A,B>) bool
_+_(int, int) int
_+_(uint, uint) uint
_+_(double, double) double
_+_(string, string) string
_+_(bytes, bytes) bytes
_+_(list<A>, list<A>) list<A>
_+_(timestamp, duration) timestamp
_+_(duration, timestamp) timestamp
_+_(duration, duration) duration
_-_(int, int) int
_-_(uint, uint) uint
_-_(double, double) double
_-_(timestamp, timestamp) duration
_-_(timestamp, duration) timestamp
_-_(duration, duration) duration
_*_(int, int) int
_*_(uint, uint) uint
_*_(double, double) double
_/_(int, int) int
_/_(uint, uint) uint
_/_(double, double) double
_%_(int, int) int
_%_(uint, uint) uint
size(string) int
size(bytes) int
size(list<A>) int
size(map<A,B>) int
.size(string) int
.size(bytes) int
.size(list<A>) int
.size(map<A,B>) int
type(A) type
dyn(A) dyn
int(int) int
int(uint) int
int(double) int
int(string) int
int(timestamp) int
uint(uint) uint
uint(int) uint
uint(double) uint
uint(string) uint
double(double) double
double(int) double
double(uint) double
double(string) double
bool(bool) bool
bool(string) bool
string(string) string
string(bool) string
string(int) string
string(uint) string
string(double) string
string(bytes) string
string(timestamp) string
string(duration) string
bytes(bytes) bytes
bytes(string) bytes
timestamp(timestamp) timestamp
timestamp(string) timestamp
timestamp(int) timestamp
duration(duration) duration
duration(string) duration
duration(int) duration
.contains(string, string) bool
.startsWith(string, string) bool
.endsWith(string, string) bool
matches(string, string) bool
.matches(string, string) bool
.charAt(string, int) string
.indexOf(string, string) int
.indexOf(string, string, int) int
.lastIndexOf(string, string) int
.lastIndexOf(string, string, int) int
.lowerAscii(string) string
.upperAscii(string) string
.replace(string, string, string) string
.replace(string, string, string, int) string
.split(string, string) list<string>
.split(string, string, int) list<string>
.substring(string, int) string
.substring(string, int, int) string
.trim(string) string
.join(list<string>) string
.join(list<string>, string) string
.format(string, list<dyn>) string
.reverse(string) string
strings.quote(string) string
.find(string, string) string
.findAll(string, string) list<string>
.findAll(string, string, int) list<string>
.isSorted(list<A>) bool
.sum(list<A>) A
.min(list<A>) A
.max(list<A>) A
.indexOf(list<A>, A) int
.lastIndexOf(list<A>, A) int
sets.contains(list<A>, list<A>) bool
sets.equivalent(list<A>, list<A>) bool
sets.intersects(list<A>, list<A>) bool
url(string) kubernetes.URL
isURL(string) bool
.getScheme(kubernetes.URL) string
.getHost(kubernetes.URL) string
.getHostname(kubernetes.URL) string
.getPort(kubernetes.URL) string
.getEscapedPath(kubernetes.URL) string
.getQuery(kubernetes.URL) map<string,list<string>>
ip(string) net.IP
isIP(string) bool
ip.isCanonical(string) bool
.family(net.IP) int
.isUnspecified(net.IP) bool
.isLoopback(net.IP) bool
.isLinkLocalMulticast(net.IP) bool
.isLinkLocalUnicast(net.IP) bool
.isGlobalUnicast(net.IP) bool
string(net.IP) string
cidr(string) net.CIDR
isCIDR(string) bool
.containsIP(net.CIDR, net.IP) bool
.containsIP(net.CIDR, string) bool
.containsCIDR(net.CIDR, net.CIDR) bool
.containsCIDR(net.CIDR, string) bool
.ip(net.CIDR) net.IP
.masked(net.CIDR) net.CIDR
.prefixLength(net.CIDR) int
string(net.CIDR) string
quantity(string) kubernetes.Quantity
isQuantity(string) bool
.sign(kubernetes.Quantity) int
.isInteger(kubernetes.Quantity) bool
.asInteger(kubernetes.Quantity) int
.asApproximateFloat(kubernetes.Quantity) double
.add(kubernetes.Quantity, kubernetes.Quantity) kubernetes.Quantity
.add(kubernetes.Quantity, int) kubernetes.Quantity
.sub(kubernetes.Quantity, kubernetes.Quantity) kubernetes.Quantity
.sub(kubernetes.Quantity, int) kubernetes.Quantity
.isLessThan(kubernetes.Quantity, kubernetes.Quantity) bool
.isGreaterThan(kubernetes.Quantity, kubernetes.Quantity) bool
.compareTo(kubernetes.Quantity, kubernetes.Quantity) int
semver(string) kubernetes.Semver
semver(string, bool) kubernetes.Semver
isSemver(string) bool
isSemver(string, bool) bool
.major(kubernetes.Semver) int
.minor(kubernetes.Semver) int
.patch(kubernetes.Semver) int
.isLessThan(kubernetes.Semver, kubernetes.Semver) bool
.isGreaterThan(kubernetes.Semver, kubernetes.Semver) bool
.compareTo(kubernetes.Semver, kubernetes.Semver) int
format.named(string) optional<kubernetes.NamedFormat>
format.dns1123Label() kubernetes.NamedFormat
format.dns1123Subdomain() kubernetes.NamedFormat
format.dns1035Label() kubernetes.NamedFormat
format.dns1123LabelPrefix() kubernetes.NamedFormat
format.dns1123SubdomainPrefix() kubernetes.NamedFormat
format.dns1035LabelPrefix() kubernetes.NamedFormat
format.qualifiedName() kubernetes.NamedFormat
format.labelValue() kubernetes.NamedFormat
format.uri() kubernetes.NamedFormat
format.uuid() kubernetes.NamedFormat
format.byte() kubernetes.NamedFormat
format.date() kubernetes.NamedFormat
format.datetime() kubernetes.NamedFormat
.validate(kubernetes.NamedFormat, string) optional<list<string>>
jsonpatch.escapeKey(string) string
optional.of(A) optional<A>
optional.ofNonZeroValue(A) optional<A>
optional.none() optional<A>
.hasValue(optional<A>) bool
.value(optional<A>) A
.or(optional<A>, optional<A>) optional<A>
.orValue(optional<A>, A) A
.getDate(timestamp) int
.getDate(timestamp, string) int
.getDayOfMonth(timestamp) int
.getDayOfMonth(timestamp, string) int
.getDayOfWeek(timestamp) int
.getDayOfWeek(timestamp, string) int
.getDayOfYear(timestamp) int
.getDayOfYear(timestamp, string) int
.getFullYear(timestamp) int
.getFullYear(timestamp, string) int
.getMonth(timestamp) int
.getMonth(timestamp, string) int
.getHours(timestamp) int
.getHours(timestamp, string) int
.getMinutes(timestamp) int
.getMinutes(timestamp, string) int
.getSeconds(timestamp) int
.getSeconds(timestamp, string) int
.getMilliseconds(timestamp) int
.getMilliseconds(timestamp, string) int
.getHours(duration) int
.getMinutes(duration) int
.getSeconds(duration) int
.getMilliseconds(duration) int
.path(kubernetes.authorization.Authorizer, string) kubernetes.authorization.PathCheck
.check(kubernetes.authorization.PathCheck, string) kubernetes.authorization.Decision
.group(kubernetes.authorization.Authorizer, string) kubernetes.authorization.GroupCheck
.serviceAccount(kubernetes.authorization.Authorizer, string, string) kubernetes.authorization.Authorizer
.resource(kubernetes.authorization.GroupCheck, string) kubernetes.authorization.ResourceCheck
.subresource(kubernetes.authorization.ResourceCheck, string) kubernetes.authorization.ResourceCheck
.namespace(kubernetes.authorization.ResourceCheck, string) kubernetes.authorization.ResourceCheck
.name(kubernetes.authorization.ResourceCheck, string) kubernetes.authorization.ResourceCheck
.fieldSelector(kubernetes.authorization.ResourceCheck, string) kubernetes.authorization.ResourceCheck
.labelSelector(kubernetes.authorization.ResourceCheck, string) kubernetes.authorization.ResourceCheck
.check(kubernetes.authorization.ResourceCheck, string) kubernetes.authorization.Decision
.errored(kubernetes.authorization.Decision) bool
.error(kubernetes.authorization.Decision) string
.allowed(kubernetes.authorization.Decision) bool
.reason(kubernetes.authorization.Decision) string
`

const PRIMITIVES: Readonly<Record<string, CelType>> = {
  dyn: DYN,
  int: INT,
  uint: UINT,
  double: DOUBLE,
  string: STRING,
  bytes: BYTES,
  bool: BOOL,
  null: NULL,
  timestamp: TIMESTAMP,
  duration: DURATION,
  type: { kind: 'type', of: DYN },
}

/** `map<string,list<A>>` */
export function parseType(text: string): CelType {
  const word = text.trim()
  const known = PRIMITIVES[word]
  if (known !== undefined) return known
  if (/^[A-Z]$/.test(word)) return { kind: 'param', name: word }
  const generic = /^(list|map|optional)<(.*)>$/.exec(word)
  if (generic === null) return opaque(word)
  const [first = '', second = ''] = splitTypes(generic[2] ?? '')
  if (generic[1] === 'list') return listOf(parseType(first))
  if (generic[1] === 'optional') return optionalOf(parseType(first))
  return mapOf(parseType(first), parseType(second))
}

function splitTypes(text: string): readonly string[] {
  const parts: string[] = []
  let depth = 0
  let start = 0
  for (let i = 0; i <= text.length; i++) {
    if (text[i] === '<') depth++
    else if (text[i] === '>') depth--
    else if (i === text.length || (text[i] === ',' && depth === 0)) {
      if (text.slice(start, i).trim() !== '') parts.push(text.slice(start, i))
      start = i + 1
    }
  }
  return parts
}

const COMPARABLE = [BOOL, INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION]
const NUMBERS = [INT, UINT, DOUBLE]

let table: ReadonlyMap<string, readonly Overload[]> | undefined

/** By function name. */
export function overloads(): ReadonlyMap<string, readonly Overload[]> {
  if (table !== undefined) return table
  const made = new Map<string, Overload[]>()
  const add = (name: string, overload: Overload): void => {
    const found = made.get(name)
    if (found === undefined) made.set(name, [overload])
    else found.push(overload)
  }
  for (const line of TEXT.trim().split('\n')) {
    const match = /^(\.?)([^(]+)\((.*)\) (\S+)$/.exec(line)
    if (match === null) throw new Error(`no signature: ${line}`)
    add(match[2] ?? '', {
      isMethod: match[1] === '.',
      args: splitTypes(match[3] ?? '').map(parseType),
      result: parseType(match[4] ?? ''),
    })
  }
  for (const name of ['_<_', '_<=_', '_>_', '_>=_']) {
    for (const type of COMPARABLE) add(name, { isMethod: false, args: [type, type], result: BOOL })
    for (const a of NUMBERS)
      for (const b of NUMBERS)
        if (a !== b) add(name, { isMethod: false, args: [a, b], result: BOOL })
  }
  table = made
  return made
}
