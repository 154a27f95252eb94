/** What a kubelet may do: all that nodes may, but only with the objects that its own pods use. */
import { persistentVolumeClaims, persistentVolumes, pods, volumeAttachments, type Pod } from '#api'
import type { Attributes, Authorizer, Decision } from '../access.ts'
import type { Reader } from '../inside.ts'
import { nodeRules } from './rbac/bootstrap.ts'
import { ruleAllows } from './rbac/rules.ts'
import { nodeOf } from './users.ts'

const NO_OPINION: Decision = { verdict: 'noOpinion', reason: '' }
const ALLOW: Decision = { verdict: 'allow', reason: '' }
const refuse = (reason: string): Decision => ({ verdict: 'noOpinion', reason })

const READING: readonly string[] = ['get', 'list', 'watch']
const OWN_LEASE_NAMESPACE = 'kube-node-lease'

/** Upstream's node authorizer, asked before RBAC. */
export function nodeAuthorizer(read: Pick<Reader, 'get' | 'list' | 'onChange'>): Authorizer {
  const podsOf = podsByNode(read)
  const decide = (attributes: Attributes): Decision => {
    const node = nodeOf(attributes.user)
    if (node === undefined) return NO_OPINION
    if (attributes.isResource) {
      const special = SPECIAL[`${attributes.resource}.${attributes.group}`]
      if (special !== undefined) return special(attributes, node, { read, podsOf })
    }
    return nodeRules.some((rule) => ruleAllows(rule, attributes)) ? ALLOW : NO_OPINION
  }
  return {
    authorize: (attributes) => decide(attributes),
    // What a node may do depends on its pods: that is no list of rules.
    rules: async (user) => ({
      resourceRules: [],
      nonResourceRules: [],
      incomplete: nodeOf(user) !== undefined,
    }),
  }
}

interface Sight {
  readonly read: Pick<Reader, 'get' | 'list'>
  readonly podsOf: (node: string) => readonly Pod[]
}
type Check = (attributes: Attributes, node: string, sight: Sight) => Decision

const unrelated = (node: string): Decision =>
  refuse(`no relationship found between node '${node}' and this object`)

/** `get` of one object that a pod of the node uses; `list` and `watch` only when a field selector names one object. */
const usedByPods =
  (
    uses: (pod: Pod, name: string, sight: Sight) => boolean,
    { namespaced = true, watchable = true } = {},
  ): Check =>
  (attributes, node, sight) => {
    if (!READING.includes(attributes.verb)) return refuse('can only read resources of this type')
    if (attributes.verb !== 'get' && !watchable)
      return refuse('can only get individual resources of this type')
    if (attributes.subresource !== '') return refuse('cannot read subresource')
    const name = attributes.name || namedBySelector(attributes.fieldSelector)
    if (name === undefined || name === '') return refuse('No Object name found')
    const related = sight
      .podsOf(node)
      .some(
        (pod) =>
          (!namespaced || pod.metadata.namespace === attributes.namespace) &&
          uses(pod, name, sight),
      )
    return related ? ALLOW : unrelated(node)
  }

const namedBySelector = (selector: string | undefined): string | undefined =>
  /^metadata\.name==?([^,]+)$/.exec(selector ?? '')?.[1]

const usesSecret = (pod: Pod, name: string): boolean => references(pod).secrets.has(name)
const usesConfigMap = (pod: Pod, name: string): boolean => references(pod).configMaps.has(name)
const usesClaim = (pod: Pod, name: string): boolean => references(pod).claims.has(name)

const SPECIAL: Readonly<Record<string, Check>> = {
  'secrets.': usedByPods(
    (pod, name, sight) => usesSecret(pod, name) || volumeSecretOf(pod, name, sight),
  ),
  'configmaps.': usedByPods(usesConfigMap),
  'persistentvolumeclaims.': (attributes, node, sight) => {
    if (attributes.subresource !== 'status') return getClaim(attributes, node, sight)
    return ['get', 'update', 'patch'].includes(attributes.verb)
      ? getClaim({ ...attributes, verb: 'get', subresource: '' }, node, sight)
      : refuse('can only get/update/patch this type')
  },
  'persistentvolumes.': usedByPods(
    (pod, name, { read }) =>
      [...references(pod).claims].some(
        (claim) =>
          read.get(persistentVolumeClaims, pod.metadata.namespace ?? '', claim)?.spec
            ?.volumeName === name,
      ),
    { namespaced: false, watchable: false },
  ),
  'volumeattachments.storage.k8s.io': (attributes, node, { read }) => {
    if (attributes.verb !== 'get' || attributes.name === '')
      return refuse('can only get individual resources of this type')
    return read.get(volumeAttachments, '', attributes.name)?.spec?.nodeName === node
      ? ALLOW
      : unrelated(node)
  },
  'resourceclaims.resource.k8s.io': usedByPods(
    (pod, name) =>
      (pod.status?.resourceClaimStatuses ?? []).some(
        ({ resourceClaimName }) => resourceClaimName === name,
      ) ||
      (pod.spec?.resourceClaims ?? []).some(({ resourceClaimName }) => resourceClaimName === name),
    { watchable: false },
  ),
  'serviceaccounts.': (attributes, node, { podsOf }) => {
    const creating = attributes.subresource === 'token' && attributes.verb === 'create'
    const getting = attributes.subresource === '' && attributes.verb === 'get'
    if (!creating && !getting)
      return refuse('can only create tokens for individual service accounts')
    if (attributes.name === '')
      return refuse('can only create tokens for individual service accounts')
    return podsOf(node).some(
      (pod) =>
        pod.metadata.namespace === attributes.namespace &&
        pod.spec?.serviceAccountName === attributes.name,
    )
      ? ALLOW
      : unrelated(node)
  },
  'leases.coordination.k8s.io': (attributes, node) => {
    if (!['get', 'create', 'update', 'patch', 'delete'].includes(attributes.verb))
      return refuse('can only get, create, update, patch, or delete a node lease')
    if (attributes.namespace !== OWN_LEASE_NAMESPACE)
      return refuse(`can only access leases in the "${OWN_LEASE_NAMESPACE}" system namespace`)
    return attributes.verb === 'create' || attributes.name === node
      ? ALLOW
      : refuse('can only access node lease with the same name as the requesting node')
  },
  'csinodes.storage.k8s.io': (attributes, node) => {
    if (attributes.subresource !== '') return refuse('cannot access CSINode subresources')
    if (!['get', 'create', 'update', 'patch', 'delete'].includes(attributes.verb))
      return refuse('can only get, create, update, patch, or delete a CSINode')
    return attributes.verb === 'create' || attributes.name === node
      ? ALLOW
      : refuse('can only access CSINode with the same name as the requesting node')
  },
  'resourceslices.resource.k8s.io': (attributes, node) => {
    const selector = attributes.fieldSelector ?? ''
    if (['list', 'watch', 'deletecollection'].includes(attributes.verb))
      return selector
        .split(',')
        .some((part) => /^spec\.nodeName==?/.test(part) && part.endsWith(`=${node}`))
        ? ALLOW
        : refuse('can only list/watch/deletecollection resourceslices with nodeName field selector')
    return ['get', 'create', 'update', 'patch', 'delete'].includes(attributes.verb)
      ? ALLOW
      : refuse('can only get, create, update, patch, or delete a ResourceSlice')
  },
  'nodes.': (attributes, node) => {
    // Reading others is refused: a node needs to know only itself. NodeRestriction checks what is written.
    if (READING.includes(attributes.verb)) {
      const name = attributes.name || namedBySelector(attributes.fieldSelector)
      return name === node
        ? ALLOW
        : refuse(`node '${node}' cannot read '${name ?? ''}', only its own Node object`)
    }
    // Beyond upstream: a machine that leaves takes itself away, and nobody else.
    if (attributes.verb === 'delete' && attributes.name === node) return ALLOW
    return nodeRules.some((rule) => ruleAllows(rule, attributes)) ? ALLOW : NO_OPINION
  },
  'pods.': (attributes, node) => {
    if (attributes.verb === 'list' || attributes.verb === 'watch')
      return (attributes.fieldSelector ?? '')
        .split(',')
        .some((part) => part === `spec.nodeName=${node}` || part === `spec.nodeName==${node}`)
        ? ALLOW
        : refuse('can only list/watch pods with spec.nodeName field selector')
    return nodeRules.some((rule) => ruleAllows(rule, attributes)) ? ALLOW : NO_OPINION
  },
}

const getClaim = usedByPods(usesClaim, { watchable: false })

/** Secrets that a volume of the pod's claims needs. */
function volumeSecretOf(pod: Pod, name: string, { read }: Sight): boolean {
  const namespace = pod.metadata.namespace ?? ''
  for (const claim of references(pod).claims) {
    const volume = read.get(persistentVolumeClaims, namespace, claim)?.spec?.volumeName
    const spec = volume ? read.get(persistentVolumes, '', volume)?.spec : undefined
    const csi = spec?.csi
    const named = [
      csi?.nodePublishSecretRef,
      csi?.nodeStageSecretRef,
      csi?.nodeExpandSecretRef,
      spec?.cephfs?.secretRef,
      spec?.flexVolume?.secretRef,
      spec?.iscsi?.secretRef,
      spec?.rbd?.secretRef,
    ]
    if (named.some((secret) => secret?.name === name)) return true
  }
  return false
}

interface References {
  readonly secrets: ReadonlySet<string>
  readonly configMaps: ReadonlySet<string>
  readonly claims: ReadonlySet<string>
}

const cache = new WeakMap<Pod, References>()

/** What a pod names in its volumes, environment and pull secrets. */
export function references(pod: Pod): References {
  const known = cache.get(pod)
  if (known !== undefined) return known
  const secretNames = new Set<string>()
  const configMapNames = new Set<string>()
  const claims = new Set<string>()
  const add = (set: Set<string>, name: string | undefined): void => {
    if (name) set.add(name)
  }
  const { spec } = pod
  for (const { name } of spec?.imagePullSecrets ?? []) add(secretNames, name)
  for (const container of [
    ...(spec?.initContainers ?? []),
    ...(spec?.containers ?? []),
    ...(spec?.ephemeralContainers ?? []),
  ]) {
    for (const { valueFrom } of container.env ?? []) {
      add(secretNames, valueFrom?.secretKeyRef?.name)
      add(configMapNames, valueFrom?.configMapKeyRef?.name)
    }
    for (const { secretRef, configMapRef } of container.envFrom ?? []) {
      add(secretNames, secretRef?.name)
      add(configMapNames, configMapRef?.name)
    }
  }
  for (const volume of spec?.volumes ?? []) {
    add(secretNames, volume.secret?.secretName)
    add(configMapNames, volume.configMap?.name)
    add(claims, volume.persistentVolumeClaim?.claimName)
    if (volume.ephemeral) add(claims, `${pod.metadata.name}-${volume.name}`)
    for (const source of volume.projected?.sources ?? []) {
      add(secretNames, source.secret?.name)
      add(configMapNames, source.configMap?.name)
    }
    for (const secret of [
      volume.csi?.nodePublishSecretRef,
      volume.cephfs?.secretRef,
      volume.flexVolume?.secretRef,
      volume.iscsi?.secretRef,
      volume.rbd?.secretRef,
      volume.scaleIO?.secretRef,
      volume.storageos?.secretRef,
      volume.cinder?.secretRef,
    ])
      add(secretNames, secret?.name)
    add(secretNames, volume.azureFile?.secretName)
  }
  const found = { secrets: secretNames, configMaps: configMapNames, claims }
  cache.set(pod, found)
  return found
}

/** Pods by the node they are bound to, read at the first question and then kept current. */
function podsByNode(read: Pick<Reader, 'list' | 'onChange'>): (node: string) => readonly Pod[] {
  const byNode = new Map<string, Map<string, Pod>>()
  let loaded = false
  const place = (pod: Pod): Map<string, Pod> | undefined => {
    const node = pod.spec?.nodeName
    if (!node) return undefined
    let found = byNode.get(node)
    if (found === undefined) byNode.set(node, (found = new Map()))
    return found
  }
  read.onChange(pods, ({ type, object }) => {
    if (!loaded) return
    if (type === 'DELETED') {
      const node = object.spec?.nodeName ?? ''
      const found = byNode.get(node)
      found?.delete(object.metadata.uid)
      if (found?.size === 0) byNode.delete(node)
    } else place(object)?.set(object.metadata.uid, object)
  })
  return (node) => {
    if (!loaded) {
      loaded = true
      for (const pod of read.list(pods)) place(pod)?.set(pod.metadata.uid, pod)
    }
    return [...(byNode.get(node)?.values() ?? [])]
  }
}
