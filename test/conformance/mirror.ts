/** What a mirror is: the behaviour of one test of the official list, told again by us, under its own name. */
import type { Api, Json } from './api.ts'

export interface Fixture {
  readonly api: Api
  /** A fresh namespace, with its default service account and root certificate in place (H-F1, H-F2). */
  readonly namespace: string
  /** `/api/v1/namespaces/NS/` + path */
  ns(path: string): string
  /** Unique in this run: for cluster-scoped objects. */
  unique(prefix: string): string
  /** Runs when the test has ended, however it did. */
  cleanUp(run: () => Promise<unknown>): void
  /** Looks again until it holds. Waits are shortened by the fast profile only where the wait itself is not what is tested. */
  until<T>(what: string, look: () => Promise<T | undefined | false>, withinMs?: number): Promise<T>
  /** Runs the genuine kubectl in the namespace of the test. */
  kubectl(args: readonly string[], input?: string): Promise<Ran>
  /** Ends the test as skipped: it cannot run here, and why. */
  skip(reason: string): never
  readonly profile: 'fast' | 'stock'
}

/** What a program printed, and how it ended. */
export interface Ran {
  readonly code: number
  readonly output: string
  readonly errors: string
}

export interface Mirror {
  readonly name: string
  readonly level: 'privileged' | 'baseline' | 'restricted'
  run(fixture: Fixture): Promise<void>
}

export const mirrors: Mirror[] = []

/** Registers a mirror under the official codename. */
export function mirror(
  name: string,
  run: (fixture: Fixture) => Promise<void>,
  level: Mirror['level'] = 'privileged',
): void {
  if (mirrors.some((other) => other.name === name)) throw new Error(`Two mirrors of ${name}`)
  mirrors.push({ name, level, run })
}

export class Skipped extends Error {}

export const configMap = (name: string, extra: Json = {}): Json => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  ...extra,
  metadata: { name, ...extra['metadata'] },
})
