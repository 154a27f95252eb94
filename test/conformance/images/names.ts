/** Names of the official test images that the mirrors use. */
const REGISTRY = 'registry.k8s.io/e2e-test-images'
export const AGNHOST = `${REGISTRY}/agnhost:2.59`
/** What rollouts begin with. */
export const AGNHOST_BEFORE = `${REGISTRY}/agnhost:2.55`
export const BUSYBOX = `${REGISTRY}/busybox:1.37.0-1`
export const PAUSE = 'registry.k8s.io/pause:3.10.1'
export const NAUTILUS = `${REGISTRY}/nautilus:1.7`
export const KITTEN = `${REGISTRY}/kitten:1.7`
