// Made from facts/ by `npm run generate`. Do not edit.
import type * as meta from '#machinery'

export interface VolumeAttributesClass {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata: meta.ObjectMeta
  readonly driverName: string
  readonly parameters?: { readonly [key: string]: string }
}

export interface VolumeAttributesClassList {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata: meta.ListMeta
  readonly items: readonly VolumeAttributesClass[]
}
