export * from './storage.ts'
export * from './embedded.ts'
export * from './errors.ts'
export * from './memory.ts'
export * from './sqlite/index.ts'
export { transformedStorage, type ValueTransform } from './transformed.ts'
export type { CacheEntry, CacheEvent, ObjectIndex } from './cached.ts'
export { parseJson } from './stored-json.ts'
export * from './watch-cache.ts'
export {
  CacheWatch,
  WatchOverflowError,
  type CacheWatchOptions,
  type Delivery,
} from './watchers.ts'
