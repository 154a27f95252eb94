// Made from facts/ by `npm run generate`. Do not edit.
import type * as meta from '#machinery'

export interface StorageVersionMigration {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata: meta.ObjectMeta
  readonly spec: StorageVersionMigrationSpec
  readonly status?: StorageVersionMigrationStatus
}

export interface StorageVersionMigrationList {
  readonly kind?: string
  readonly apiVersion?: string
  readonly metadata: meta.ListMeta
  readonly items: readonly StorageVersionMigration[]
}

export interface StorageVersionMigrationSpec {
  readonly resource: meta.GroupResource
}

export interface StorageVersionMigrationStatus {
  readonly conditions?: readonly meta.Condition[]
  readonly resourceVersion?: string
}
