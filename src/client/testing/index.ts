/** A server in memory for unit tests of whatever speaks to the API. */
export { createObjectStore, type ObjectStore } from './object-store.ts'
export { memoryTransport, type MemoryTransport, type MemoryTransportOptions } from './transport.ts'
