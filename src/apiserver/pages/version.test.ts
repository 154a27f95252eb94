import assert from 'node:assert/strict'
import { test } from 'node:test'
import { versionInfo } from './version.ts'

test('the version has the form that clients match, of a release as from source', () => {
  const commit = 'f6a67d3f6a67d3f6a67d3f6a67d3f6a67d3f6a67'
  for (const build of [{}, { commit, date: '2026-01-02T03:04:05Z' }]) {
    const info = versionInfo(build) as Record<string, string>
    assert.match(info['major'] ?? '', /^\d$/)
    assert.match(info['minor'] ?? '', /^\d+\+?$/)
    assert.match(info['gitVersion'] ?? '', /^v\d\.\d+\.[\d\w\-.+]+$/)
    assert.match(info['gitCommit'] ?? '', /^[0-9a-f]{40}$/)
  }
  assert.equal(versionInfo({ commit })['gitCommit'], commit)
})
