import { test } from 'node:test'
import { aborted } from './aborted.ts'

test('a signal that aborted before anybody listened is not waited for', async () => {
  await aborted(AbortSignal.abort())
  const later = new AbortController()
  const waiting = aborted(later.signal)
  later.abort()
  await waiting
})
