import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  canonicalIP,
  cidr,
  interfaceAddress,
  ipAddress,
  looseCIDR,
  looseIPAddress,
} from './names-ip.ts'
import {
  asPrefix,
  cIdentifier,
  configKey,
  dns1035Label,
  dnsLabel,
  dnsSubdomain,
  dnsSubdomainWithUnderscore,
  envName,
  httpHeaderName,
  labelValue,
  pathSegment,
  percentage,
  portName,
  portNumber,
  qualifiedName,
  strictEnvName,
  wildcardSubdomain,
  type NameRule,
} from './names.ts'

const good = (rule: NameRule, ...values: readonly string[]): void => {
  for (const value of values) assert.deepEqual(rule(value), [], value)
}
const bad = (rule: NameRule, ...values: readonly string[]): void => {
  for (const value of values) assert.notDeepEqual(rule(value), [], value)
}

test('labels of DNS have small letters, digits and dashes inside, and 63 of them', () => {
  good(dnsLabel, 'a', '1', 'a-1', '123-abc', 'a'.repeat(63))
  bad(dnsLabel, '', '-', 'a-', '-a', 'A', 'a_b', 'ä', 'a'.repeat(64), 'a\n')
  good(dns1035Label, 'a', 'a1', 'a-1')
  bad(dns1035Label, '1a', '', 'a-')
})

test('a name with dots where none may be gets told so', () => {
  assert.deepEqual(dnsLabel('a.b'), ['must not contain dots'])
  assert.deepEqual(dnsLabel('A'), [
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
  ])
  assert.deepEqual(dnsLabel('a'.repeat(64)), ['must be no more than 63 characters'])
})

test('subdomains are labels between dots', () => {
  good(dnsSubdomain, 'a', 'a.b', '1.2.3', 'a'.repeat(253))
  bad(dnsSubdomain, '', '.', 'a.', '.a', 'a..b', 'a.-b', 'a'.repeat(254))
  assert.deepEqual(dnsSubdomain('Foo'), [
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
  ])
  good(dnsSubdomainWithUnderscore, '_tcp.example.com', 'a_b')
  bad(dnsSubdomainWithUnderscore, '__a', 'a_')
  good(wildcardSubdomain, '*.example.com')
  bad(wildcardSubdomain, '*', '*.*.com', 'a.*.com', 'example.com', '*bar.com')
})

test('a name that gets a suffix may end in a dash', () => {
  good(asPrefix(dnsSubdomain), 'web-', 'web')
  bad(asPrefix(dnsSubdomain), '-', 'Web-')
})

test('keys have a name, and may have a domain before it', () => {
  good(qualifiedName, 'a', 'A.b_c-9', 'example.com/app', 'n'.repeat(63))
  bad(qualifiedName, '', 'a/', '/a', 'Example.com/a', '-a', 'n'.repeat(64))
  assert.deepEqual(qualifiedName('a/b/c'), [
    "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
  ])
  assert.deepEqual(qualifiedName(`${'p'.repeat(254)}/a`), [
    'prefix part must be no more than 253 bytes',
  ])
  assert.equal(qualifiedName('/a')[0], 'prefix part must be non-empty')
  assert.deepEqual(qualifiedName('n'.repeat(64)), ['name part must be no more than 63 bytes'])
})

test('values of labels may be empty', () => {
  good(labelValue, '', 'a', 'A_b.c-9', 'v'.repeat(63))
  bad(labelValue, '-', 'a b', 'a/b', '.a')
  assert.deepEqual(labelValue('v'.repeat(64)), ['must be no more than 63 bytes'])
})

test('lengths are counted in bytes', () => {
  assert.equal(dnsSubdomain('ä'.repeat(127)).length, 2)
  assert.equal(dnsSubdomain('ä'.repeat(126)).length, 1)
})

test('names in programs', () => {
  good(cIdentifier, '_', 'a1', 'MY_NAME')
  bad(cIdentifier, '', '1a', 'a-b', 'a.b')
  good(envName, 'A', '1', 'a b', '~', 'my.env-name')
  bad(envName, 'a=b', 'ä', 'a\tb')
  assert.deepEqual(envName(''), ['environment variable name must be non-empty'])
  good(strictEnvName, 'MY_ENV.NAME', '-a')
  bad(strictEnvName, '', '1a', 'a b', '..a', '.')
  assert.deepEqual(strictEnvName('..a'), ["must not start with '..'"])
  good(configKey, 'key.name', '.dot', '1')
  assert.deepEqual(configKey('..'), ["must not be '..'"])
  bad(configKey, '', 'a b', 'a/b', '..a')
})

test('ports have names of at most 15 characters with a letter, or numbers up to 65535', () => {
  good(portName, 'http', 'a', '80a', 'a-b')
  assert.deepEqual(portName(''), [
    'must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)',
    'must contain at least one letter (a-z)',
  ])
  assert.deepEqual(portName('a--b-'), [
    'must not contain consecutive hyphens',
    'must not begin or end with a hyphen',
  ])
  assert.deepEqual(portName('abcdefghijklmnop'), ['must be no more than 15 characters'])
  assert.deepEqual(portNumber(1), [])
  assert.deepEqual(portNumber(0), ['must be between 1 and 65535, inclusive'])
  assert.deepEqual(portNumber(65_536), ['must be between 1 and 65535, inclusive'])
})

test('headers, percentages and parts of paths', () => {
  good(httpHeaderName, 'X-Header-Name')
  bad(httpHeaderName, '', 'X_Y', 'X:')
  good(percentage, '0%', '93%')
  bad(percentage, '%', '9', '-1%')
  good(pathSegment, '', 'a b', 'system:node')
  assert.deepEqual(pathSegment('..'), ["may not be '..'"])
  assert.deepEqual(pathSegment('a/b%'), ["may not contain '/'", "may not contain '%'"])
})

test('addresses are written in one way', () => {
  good(ipAddress, '10.9.8.7', '::', '::1', '2001:db8::ffff', 'fe80::abc', '1:2:3:4:5:6:7:8')
  good(ipAddress, '1:0:0:2::3', '2001:db8:0:1:1:1:1:1')
  const no = ['must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)']
  for (const value of [
    '',
    '1.2.3',
    '1.2.3.256',
    '1.2.3.4.5',
    ':::',
    '1::2::3',
    'g::',
    '1:2',
    'fe80::1%eth0',
    '1:2:3:4:5:6:7::8',
    '12345::',
  ])
    assert.deepEqual(ipAddress(value), no, value)
  assert.deepEqual(ipAddress('010.002.003.004'), ['must not have leading 0s'])
  assert.deepEqual(ipAddress('::ffff:1.2.3.4'), ['must not be an IPv4-mapped IPv6 address'])
  assert.deepEqual(ipAddress('FE80:0:0:0:0:0:0:0abc'), ['must be in canonical form ("fe80::abc")'])
  good(looseIPAddress, 'FE80:0:0:0:0:0:0:0abc')
  assert.equal(canonicalIP('0:0:1:0:0:0:1:0'), '0:0:1::1:0')
  assert.equal(canonicalIP('x'), undefined)
})

test('ranges have nothing set behind their prefix', () => {
  good(cidr, '10.9.8.0/24', '0.0.0.0/0', '::/0', '2001:db8::/64', '1.2.3.4/32', '10.128.0.0/9')
  const no = ['must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)']
  for (const value of ['', '10.0.0.0', '10.0.0.0/33', '::/129', '10.0.0.0/', '10.0.0.0/-1', '/8'])
    assert.deepEqual(cidr(value), no, value)
  assert.deepEqual(cidr('10.0.0.1/24'), ['must not have bits set beyond the prefix length'])
  assert.deepEqual(cidr('10.0.0.0/08'), ['must not have leading 0s in IP or prefix length'])
  assert.deepEqual(cidr('::ffff:10.0.0.0/104'), ['must not have an IPv4-mapped IPv6 address'])
  assert.deepEqual(cidr('FE80:0abc::/64'), ['must be in canonical form ("fe80:abc::/64")'])
  good(looseCIDR, 'FE80:0abc::/64')
  good(interfaceAddress, '192.168.1.5/24', '2001:db8::1/64')
  assert.deepEqual(interfaceAddress('::ffff:192.168.0.1/120'), [
    'must be in canonical form ("192.168.0.1/24")',
  ])
})

test('any canonical address is its own canonical form', () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
      const form = canonicalIP(text)
      assert.ok(form !== undefined)
      assert.equal(canonicalIP(form), form)
      assert.deepEqual(ipAddress(form), [], text)
      assert.equal(ipAddress(text).length === 0, text === form)
    }),
  )
})
