/** Pods of tests. */
import type { JsonObject } from '#machinery'
import { trying } from '../../definitions.testing.ts'

export const pods = trying('', 'v1', 'pods')

export type Part = Record<string, unknown>

export const container = (over: Part = {}): Part => ({ name: 'app', image: 'nginx:1.27', ...over })

export const pod = (spec: Part = {}, over: Part = {}): JsonObject => ({
  spec: { containers: [container()], ...spec },
  ...over,
})

export const wrong = (spec: Part) => pods.errors(pod(spec))

export const wrongIn = (over: Part) => wrong({ containers: [container(over)] })

export const running = { running: { startedAt: '2026-01-02T03:00:00Z' } }

export const state = (name: string, over: Part = {}): Part => ({
  name,
  ready: false,
  restartCount: 0,
  image: 'i',
  imageID: '',
  ...over,
})
