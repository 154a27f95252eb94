/** Why a store could not be opened or written; each message says what to do. */

/** The disk has no room: nothing of the write was done, and later writes work once there is room. */
export class StorageFullError extends Error {
  constructor(path: string, options?: ErrorOptions) {
    super(
      `Cannot write to "${path}": the disk is full. Free some space; writes then work again`,
      options,
    )
    this.name = 'StorageFullError'
  }
}

/** Why a store cannot be opened. */
export type OpenFailure = 'damaged' | 'version' | 'locked' | 'permission' | 'unavailable'

/** Why a store cannot be opened, so that somebody can say what helps. */
export class StorageOpenError extends Error {
  readonly failure: OpenFailure
  constructor(failure: OpenFailure, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'StorageOpenError'
    this.failure = failure
  }
}

/** The store was closed, or failed in a way that leaves its file's state unknown. */
export class StorageClosedError extends Error {
  constructor(message = 'the store is closed', options?: ErrorOptions) {
    super(message, options)
    this.name = 'StorageClosedError'
  }
}
