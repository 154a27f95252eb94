// Made from facts/ by `npm run generate`. Do not edit.
import type * as coreV1 from './core-v1.gen.ts'
import type * as meta from '#machinery'

export interface Overhead {
  readonly podFixed?: { readonly [key: string]: string }
}

export interface RuntimeClass {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata: meta.ObjectMeta
  readonly handler: string
  readonly overhead?: Overhead
  readonly scheduling?: Scheduling
}

export interface RuntimeClassList {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata: meta.ListMeta
  readonly items: readonly RuntimeClass[]
}

export interface Scheduling {
  readonly nodeSelector?: { readonly [key: string]: string }
  readonly tolerations?: readonly coreV1.Toleration[]
}
