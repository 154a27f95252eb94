import type * as Jose from 'jose'

/** JSON Web Tokens and keys, loaded with the first of them: a start needs none. */
export const jose = (): Promise<typeof Jose> => import('jose')
