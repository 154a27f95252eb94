/** What the server fills in of pods and pod templates. */
import { addQuantities } from '#machinery'
import type {
  Container,
  EphemeralContainer,
  Pod,
  PodSpec,
  PodTemplateSpec,
  Probe,
  LifecycleHandler,
  Volume,
  HTTPGetAction,
  EnvVar,
  DownwardAPIVolumeFile,
  PersistentVolumeClaimSpec,
} from '../../types.gen.ts'
import type { Mutable } from '../../mutable.ts'
import { pullsAlways } from './image.ts'

type AnyContainer = Mutable<Container> | Mutable<EphemeralContainer>
type Resources = Record<string, string>

/** 0644: what files of a volume are allowed when nothing is said. */
const FILE_MODE = 0o644

export function defaultPod(pod: Mutable<Pod>): void {
  const spec = (pod.spec ??= { containers: [] })
  for (const container of spec.containers ?? []) requestWhatIsLimited(container)
  for (const container of spec.initContainers ?? []) requestWhatIsLimited(container)
  defaultPodLevelResources(spec)
  spec.enableServiceLinks ??= true
  if (spec.hostNetwork === true) {
    for (const container of spec.containers ?? []) publishPorts(container)
    for (const container of spec.initContainers ?? []) publishPorts(container)
  }
  defaultPodSpec(spec)
}

/** The template inside a workload. Less than for a pod: requests and service links are the pod's own. */
export function defaultPodTemplate(template: Mutable<PodTemplateSpec> | undefined): void {
  if (template?.spec !== undefined) defaultPodSpec(template.spec)
}

function defaultPodSpec(spec: Mutable<PodSpec>): void {
  spec.dnsPolicy ??= 'ClusterFirst'
  spec.restartPolicy ??= 'Always'
  spec.securityContext ??= {}
  spec.terminationGracePeriodSeconds ??= 30
  spec.schedulerName ??= 'default-scheduler'
  // Two names for one field; the old one is kept for old clients.
  const account = spec.serviceAccountName ?? spec.serviceAccount
  if (account !== undefined) {
    spec.serviceAccountName = account
    spec.serviceAccount = account
  }
  if (spec.volumes) for (const volume of spec.volumes) defaultVolume(volume)
  if (spec.initContainers) for (const container of spec.initContainers) defaultContainer(container)
  if (spec.containers) for (const container of spec.containers) defaultContainer(container)
  if (spec.ephemeralContainers) {
    for (const container of spec.ephemeralContainers) defaultContainer(container)
  }
}

function defaultContainer(container: AnyContainer): void {
  container.terminationMessagePath ??= '/dev/termination-log'
  container.terminationMessagePolicy ??= 'File'
  container.imagePullPolicy ??= pullsAlways(container.image) ? 'Always' : 'IfNotPresent'
  if (container.env) for (const variable of container.env) defaultVariable(variable)
  defaultProbe(container.livenessProbe)
  defaultProbe(container.readinessProbe)
  defaultProbe(container.startupProbe)
  if (container.lifecycle) {
    defaultHandler(container.lifecycle.postStart)
    defaultHandler(container.lifecycle.preStop)
  }
}

function defaultVariable({ valueFrom }: Mutable<EnvVar>): void {
  if (valueFrom?.fieldRef) valueFrom.fieldRef.apiVersion ??= 'v1'
}

function defaultProbe(probe: Mutable<Probe> | undefined): void {
  if (probe === undefined) return
  probe.timeoutSeconds ??= 1
  probe.periodSeconds ??= 10
  probe.successThreshold ??= 1
  probe.failureThreshold ??= 3
  defaultHttp(probe.httpGet)
}

const defaultHandler = (handler: Mutable<LifecycleHandler> | undefined): void =>
  defaultHttp(handler?.httpGet)

function defaultHttp(action: Mutable<HTTPGetAction> | undefined): void {
  if (action === undefined) return
  action.path ??= '/'
  action.scheme ??= 'HTTP'
}

function defaultVolume(volume: Mutable<Volume>): void {
  if (volume.secret) volume.secret.defaultMode ??= FILE_MODE
  else if (volume.configMap) volume.configMap.defaultMode ??= FILE_MODE
  else if (volume.emptyDir) return
  else if (volume.projected) defaultProjected(volume.projected)
  else if (volume.downwardAPI) {
    volume.downwardAPI.defaultMode ??= FILE_MODE
    defaultFiles(volume.downwardAPI.items)
  } else if (volume.hostPath) volume.hostPath.type ??= ''
  else if (volume.ephemeral?.volumeClaimTemplate)
    defaultClaimSpec(volume.ephemeral.volumeClaimTemplate.spec)
  else if (volume.image)
    volume.image.pullPolicy ??= pullsAlways(volume.image.reference) ? 'Always' : 'IfNotPresent'
  else if (!hasSource(volume)) volume.emptyDir = {}
}

function hasSource(volume: Mutable<Volume>): boolean {
  for (const key in volume) if (key !== 'name') return true
  return false
}

function defaultProjected(projected: NonNullable<Mutable<Volume>['projected']>): void {
  projected.defaultMode ??= FILE_MODE
  for (const { serviceAccountToken, downwardAPI } of projected.sources ?? []) {
    if (serviceAccountToken) serviceAccountToken.expirationSeconds ??= 3600
    if (downwardAPI) defaultFiles(downwardAPI.items)
  }
}

function defaultFiles(files: Mutable<DownwardAPIVolumeFile>[] | undefined): void {
  for (const { fieldRef } of files ?? []) if (fieldRef) fieldRef.apiVersion ??= 'v1'
}

/** Claims are made of templates too: in ephemeral volumes and stateful sets. */
export function defaultClaimSpec(spec: Mutable<PersistentVolumeClaimSpec> | undefined): void {
  if (spec) spec.volumeMode ??= 'Filesystem'
}

function requestWhatIsLimited({ resources }: Mutable<Container>): void {
  const limits = resources?.limits
  if (resources === undefined || limits === undefined) return
  const requests: Resources = (resources.requests ??= {})
  for (const name in limits) {
    const limit = limits[name]
    if (limit !== undefined) requests[name] ??= limit
  }
}

function publishPorts({ ports }: Mutable<Container>): void {
  if (ports) for (const port of ports) port.hostPort ??= port.containerPort
}

const isPodLevel = (name: string): boolean =>
  name === 'cpu' || name === 'memory' || name.startsWith('hugepages-')

/** Resources of the whole pod: what its containers ask together, else what the pod is limited to. */
function defaultPodLevelResources(spec: Mutable<PodSpec>): void {
  const { resources } = spec
  if (resources === undefined) return
  const own = resources.requests
  if (resources.limits === undefined && own === undefined) return
  defaultHugePageLimits(spec, resources)
  const { limits } = resources
  if (limits === undefined) return
  const requests: Resources = { ...resources.requests }
  const together = requestsOfContainers(spec)
  for (const [name, quantity] of Object.entries(together)) {
    if (isPodLevel(name) && requests[name] === undefined && !name.startsWith('hugepages-')) {
      requests[name] = quantity
    }
  }
  for (const [name, quantity] of Object.entries(limits)) {
    if (isPodLevel(name)) requests[name] ??= quantity
  }
  if (Object.keys(requests).length > 0) resources.requests = requests
}

function defaultHugePageLimits(
  spec: Mutable<PodSpec>,
  resources: NonNullable<Mutable<PodSpec>['resources']>,
): void {
  if (Object.keys(resources.requests ?? {}).some((name) => name.startsWith('hugepages-'))) return
  const limits: Resources = { ...resources.limits }
  for (const { resources: each } of spec.containers ?? []) {
    for (const [name, quantity] of Object.entries(each?.limits ?? {})) {
      if (!name.startsWith('hugepages-') || resources.limits?.[name] !== undefined) continue
      limits[name] = limits[name] === undefined ? quantity : addQuantities(limits[name], quantity)
    }
  }
  if (Object.keys(limits).length > 0) resources.limits = limits
}

function requestsOfContainers(spec: Mutable<PodSpec>): Resources {
  const sum: Resources = {}
  const sidecars = (spec.initContainers ?? []).filter((each) => each.restartPolicy === 'Always')
  for (const { resources } of [...(spec.containers ?? []), ...sidecars]) {
    for (const [name, quantity] of Object.entries(resources?.requests ?? {})) {
      sum[name] = sum[name] === undefined ? quantity : addQuantities(sum[name], quantity)
    }
  }
  return sum
}
