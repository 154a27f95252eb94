/** Which levels and versions a policy of the Pod Security Standards may name. */
import type { Level } from './violations.ts'

export const LEVELS: readonly string[] = ['privileged', 'baseline', 'restricted']
const VERSION = /^(latest|v1\.(0|[1-9][0-9]*))$/

export const isLevel = (text: unknown): text is Level =>
  typeof text === 'string' && LEVELS.includes(text)
export const isVersion = (text: unknown): text is string =>
  typeof text === 'string' && VERSION.test(text)
