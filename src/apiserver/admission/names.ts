/** The admission plugins by name: which there are, which are on, and which somebody may choose. */

/** In the order in which upstream asks them. */
const PLUGINS: readonly string[] = [
  'AlwaysAdmit',
  'NamespaceAutoProvision',
  'NamespaceLifecycle',
  'NamespaceExists',
  'LimitPodHardAntiAffinityTopology',
  'LimitRanger',
  'ServiceAccount',
  'NodeRestriction',
  'TaintNodesByCondition',
  'AlwaysPullImages',
  'ImagePolicyWebhook',
  'PodSecurity',
  'PodNodeSelector',
  'Priority',
  'DefaultTolerationSeconds',
  'PodTolerationRestriction',
  'EventRateLimit',
  'ExtendedResourceToleration',
  'DefaultStorageClass',
  'StorageObjectInUseProtection',
  'OwnerReferencesPermissionEnforcement',
  'PersistentVolumeClaimResize',
  'RuntimeClass',
  'CertificateApproval',
  'CertificateSigning',
  'ClusterTrustBundleAttest',
  'CertificateSubjectRestriction',
  'DefaultIngressClass',
  'DenyServiceExternalIPs',
  'PodTopologyLabels',
  'MutatingAdmissionPolicy',
  'MutatingAdmissionWebhook',
  'ValidatingAdmissionPolicy',
  'ValidatingAdmissionWebhook',
  'ResourceQuota',
  'AlwaysDeny',
]

const OFF_BY_DEFAULT: ReadonlySet<string> = new Set([
  'AlwaysAdmit',
  'NamespaceAutoProvision',
  'NamespaceExists',
  'LimitPodHardAntiAffinityTopology',
  'AlwaysPullImages',
  'ImagePolicyWebhook',
  'PodNodeSelector',
  'PodTolerationRestriction',
  'EventRateLimit',
  'ExtendedResourceToleration',
  'OwnerReferencesPermissionEnforcement',
  'DenyServiceExternalIPs',
  'AlwaysDeny',
])

/** What upstream has for others: they cannot be chosen here. */
const NOT_HERE: Readonly<Record<string, string>> = {
  AlwaysDeny: 'it refuses all writes, those of the cluster itself too',
  ImagePolicyWebhook: 'a validating webhook on pods does the same',
}

export interface PluginChoice {
  /** Plugins that are off by default. */
  readonly enable?: readonly string[]
  readonly disable?: readonly string[]
}

/** What is wrong with a choice, in kube-apiserver's words where it has some; [] for nothing. */
export function choiceErrors({ enable = [], disable = [] }: PluginChoice): readonly string[] {
  const unknown = (flag: string, names: readonly string[]): readonly string[] =>
    names
      .filter((name) => !PLUGINS.includes(name))
      .map((name) => `${flag} plugin ${JSON.stringify(name)} is unknown`)
  const both = [...new Set(enable)].filter((name) => disable.includes(name))
  return [
    ...(both.length === 0
      ? []
      : [
          `[${both.join(' ')}] in enable-admission-plugins and disable-admission-plugins overlapped`,
        ]),
    ...unknown('enable-admission-plugins', enable),
    ...unknown('disable-admission-plugins', disable),
    ...enable.flatMap((name) =>
      NOT_HERE[name] === undefined
        ? []
        : [
            `enable-admission-plugins plugin ${JSON.stringify(name)} cannot be enabled: ${NOT_HERE[name]}`,
          ],
    ),
  ]
}

/** Whether a plugin runs. Those without a name of upstream's always do. */
export const isChosen = (name: string, { enable = [], disable = [] }: PluginChoice): boolean =>
  !disable.includes(name) && (!OFF_BY_DEFAULT.has(name) || enable.includes(name))
