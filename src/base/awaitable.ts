/**
 * A value that is there, or will be. What mostly need not wait is no promise: a request passes some forty such
 * steps, and each wait costs about a kilobyte of garbage.
 */
export type Awaitable<T> = T | Promise<T>

/** What comes next: at once where the value is there. */
export const follow = <T, U>(value: Awaitable<T>, then: (value: T) => Awaitable<U>): Awaitable<U> =>
  value instanceof Promise ? value.then(then) : then(value)
