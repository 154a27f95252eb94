import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compileCel } from '../index.ts'

const run = (source: string): unknown => {
  const program = compileCel(source, { variables: { self: 'dyn' } })
  if ('failure' in program) return program.failure
  try {
    return program.evaluate({ self: { a: 1, b: 'x' } }, { perCall: 1e6, remaining: 1e7 }).value
  } catch (error) {
    return (error as Error).message
  }
}
const all = (
  name: string,
  cases: Readonly<Record<string, string>>,
  prefix: string,
): Promise<void> =>
  test(name, () => {
    for (const [source, says] of Object.entries(cases)) assert.equal(run(source), prefix + says)
  })

void all(
  'an address that is none is refused as Go refuses it',
  {
    'ip("a")': '"a" parse error during conversion from string: ParseAddr("a"): unable to parse IP',
    'ip("1::2::3")':
      '"1::2::3" parse error during conversion from string: ParseAddr("1::2::3"): multiple :: in address (at ":3")',
    'ip("01.2.3.4")':
      '"01.2.3.4" parse error during conversion from string: ParseAddr("01.2.3.4"): IPv4 field has octet with leading zero',
    'ip("1.2.3")':
      '"1.2.3" parse error during conversion from string: ParseAddr("1.2.3"): IPv4 address too short',
    'ip("1.2.3.256")':
      '"1.2.3.256" parse error during conversion from string: ParseAddr("1.2.3.256"): IPv4 field has value >255',
    'ip("2001:db8::zz")':
      '"2001:db8::zz" parse error during conversion from string: ParseAddr("2001:db8::zz"): each colon-separated field must have at least one digit (at "zz")',
    'ip(":::")':
      '":::" parse error during conversion from string: ParseAddr(":::"): each colon-separated field must have at least one digit (at ":")',
  },
  'IP Address ',
)
void all(
  'neither zones nor IPv4 in the clothes of IPv6 are addresses',
  {
    'ip("fe80::1%eth0")': 'IP address "fe80::1%eth0" with zone value is not allowed',
    'ip("::ffff:1.2.3.4")': 'IPv4-mapped IPv6 address "::ffff:1.2.3.4" is not allowed',
    'cidr("10.0.0.0/8").containsIP("a")': 'no such overload',
  },
  '',
)
void all(
  'a range that is none is refused as Go refuses it',
  {
    'cidr("10.0.0.0")':
      'network address parse error during conversion from string: netip.ParsePrefix("10.0.0.0"): no \'/\'',
    'cidr("10.0.0.0/33")':
      'network address parse error during conversion from string: netip.ParsePrefix("10.0.0.0/33"): prefix length out of range',
    'cidr("10.0.0.0/08")':
      'network address parse error during conversion from string: netip.ParsePrefix("10.0.0.0/08"): bad bits after slash: "08"',
    'cidr("10.0.0/8")':
      'network address parse error during conversion from string: netip.ParsePrefix("10.0.0/8"): ParseAddr("10.0.0"): IPv4 address too short',
    'cidr("::ffff:1.2.3.0/120")': 'IPv4-mapped IPv6 address "::ffff:1.2.3.0/120" is not allowed',
  },
  'network address parse error during conversion from string: ',
)
void all(
  'a version that is none is refused part by part',
  {
    'semver("")': 'Version string empty',
    'semver("1.2")': 'No Major.Minor.Patch elements found',
    'semver("v1.2.3")': 'Invalid character(s) found in major number "v1"',
    'semver("01.2.3")': 'Major number must not contain leading zeroes "01"',
    'semver("1.2.x")': 'Invalid character(s) found in patch number "x"',
    'semver("1.2.3-01")': 'Numeric PreRelease version must not contain leading zeroes "01"',
    'semver("1.2.3-a..b")': 'Prerelease is empty',
    'semver("1.2.3+")': 'Build meta data is empty',
    'semver("99999999999999999999.1.1")':
      'strconv.ParseUint: parsing "99999999999999999999": value out of range',
    'semver("1.2-a", true)': 'short version cannot contain PreRelease/Build meta data',
  },
  '',
)
void all(
  'a URL that is none is refused as Go refuses it',
  {
    'url("a")': '"a": invalid URI for request',
    'url("")': '"": empty url',
    'url("://a")': '"://a": missing protocol scheme',
    'url("http://[::1")': '"http://[::1": missing \']\' in host',
    'url("https://%zz")': '"https://%zz": invalid URL escape "%zz"',
    'url("https://a/%zz")': '"https://a/%zz": invalid URL escape "%zz"',
    'url("https://a b")': '"https://a b": invalid character " " in host name',
    'url("https://a:xx/")': '"https://a:xx/": invalid port ":xx" after host',
  },
  'URL parse error during conversion from string: parse ',
)

test('what Go takes for a URL is one, and is taken apart as Go does it', () => {
  assert.equal(run('url("mailto:a@b").getScheme()'), 'mailto')
  assert.equal(run('url("https://a.b:99999/x?q=1#f").getHost()'), 'a.b:99999')
  assert.equal(run('url("https://a.b:99999").getEscapedPath()'), '')
  assert.equal(run('url("http://[::1]:80/a/../b").getHostname()'), '::1')
  assert.equal(run('url("http://[::1]:80/a/../b").getEscapedPath()'), '/a/../b')
  assert.equal(run('url("/a b?c").getEscapedPath()'), '/a%20b')
})

test('an address, a version or a quantity is compared with its like alone', () => {
  assert.equal(run('dyn(quantity("1")) == dyn(1)'), 'no such overload')
  assert.equal(run('dyn(1) == dyn(quantity("1"))'), false)
  assert.equal(run('dyn(ip("1.2.3.4")) == dyn(null)'), false)
  // Lists and maps differ where something is said to be another; here nothing is said.
  assert.equal(run('[dyn(cidr("10.0.0.0/8"))] == [dyn(1u)]'), true)
  assert.equal(run('dyn(semver("1.2.3")) in [dyn("1.2.3")]'), false)
  assert.equal(run('[dyn(1), dyn(2u)] == [dyn(1.0), dyn(2)]'), true)
})

test('a name in backticks is no name in Kubernetes', () => {
  assert.equal(
    run('self.`a`'),
    "compilation failed: ERROR: <input>:1:6: unsupported syntax: '`'\n | self.`a`\n | .....^",
  )
})

test('a function that does not know its arguments names them', () => {
  assert.equal(run('self.b.reverse()'), 'no such overload: reverse(string)')
})
