export const NAVARCH_VERSION = '0.1.0'
/** The release whose behaviour this is. */
export const KUBERNETES_VERSION = 'v1.36.0'
