/** Of this program (semantic versioning). */
export const NAVARCH_VERSION = '0.1.0'
/** The release whose behaviour this is. */
export const KUBERNETES_VERSION = 'v1.36.0'

/** Put in by the release. */
declare const NAVARCH_BUILD: { readonly commit: string; readonly date: string } | undefined
export const BUILD = typeof NAVARCH_BUILD === 'undefined' ? {} : NAVARCH_BUILD
