import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fitsFormat } from './formats.ts'

const cases: Readonly<Record<string, { readonly fit: string[]; readonly unfit: string[] }>> = {
  hostname: {
    fit: ['localhost', 'a', 'a-b', 'a.b.com', 'é.com', 'a-b.example'],
    unfit: ['', 'a_b', '1.2.3.4', 'foo-bar', 'a.b.', '-a.com', 'a-.com', `${'a'.repeat(64)}.com`],
  },
  'date-time': {
    fit: ['2026-01-01T00:00:00Z', '2026-01-01t00:00:00.5+01:00'],
    unfit: [
      '2026-01-01 00:00:00Z',
      '2026-01-01T00:00:60Z',
      '2026-01-01T00:00:00',
      '2026-02-30T00:00:00Z',
    ],
  },
  byte: { fit: ['YQ==', 'YWI=', 'YWJj'], unfit: ['', 'YQ', 'YQ=', 'Y Q==', '===='] },
  email: {
    fit: ['a@b.c', 'A <a@b.c>', '"a b"@c'],
    unfit: ['', 'a', 'mailto:a@b', 'a@b.', 'a@.b', 'A <a@b.c'],
  },
  duration: {
    fit: ['1h30m', '-0', '3 days', 'P1D', '1.5 days', '300 years and 1s', '5 minutes'],
    unfit: ['', '5', 'P1Y', '9223372036854775808 s', '1 year'],
  },
  ipv4: { fit: ['1.2.3.4', '::ffff:1.2.3.4'], unfit: ['1.2.3', '::1', '::ffff:102:304'] },
  mac: {
    fit: ['00:00:5e:00:53:01', '00-00-5e-00-53-01', '0000.5e00.5301', '00005e005301'],
    unfit: ['00:00:5e:00:53:01:02', '00:00-5e:00:53:01', '00005e00530'],
  },
  uri: {
    fit: ['http://x/y', '/a b', '*', 'urn:x', 'http://[::1]:80/'],
    unfit: ['', 'x/y', 'http://a b/', '/%zz', 'http://[::1', 'http://a:b/', 'http://a b@c/'],
  },
  ssn: { fit: ['111-22-3333', '111 22 3333'], unfit: ['111223333', '111-22-333'] },
  unknown: { fit: ['', 'anything'], unfit: [] },
}

for (const [format, { fit, unfit }] of Object.entries(cases))
  test(`${format}: what upstream's validation takes, and no more`, () => {
    for (const text of fit) assert.ok(fitsFormat(format, text), `${text} fits`)
    for (const text of unfit) assert.ok(!fitsFormat(format, text), `${text} does not fit`)
  })
