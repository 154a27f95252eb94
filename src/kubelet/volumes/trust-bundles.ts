/** Trust bundles by their beta version, which a cluster may have or not. */
import type { KubeObject, ResourceRef } from '#machinery'

export const clusterTrustBundles: ResourceRef<
  KubeObject & { readonly spec: { readonly signerName?: string; readonly trustBundle: string } }
> = {
  group: 'certificates.k8s.io',
  version: 'v1beta1',
  resource: 'clustertrustbundles',
  kind: 'ClusterTrustBundle',
  namespaced: false,
}
