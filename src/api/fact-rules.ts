/** Rules that the facts state: required fields and closed sets of values, compiled once per type. */
import {
  FieldPath,
  notSupported,
  required,
  type FieldError,
  type FieldFact,
  type JsonObject,
  type SchemaFact,
} from '#machinery'
import { typeTable } from './facts.ts'

type Check = (value: unknown, path: FieldPath, errors: FieldError[]) => void
interface Rule {
  readonly name: string
  readonly check: Check
}

/** Required in the schema, and yet an empty value is right, or code says what is wrong in other words. */
const MAY_BE_EMPTY = new Set([
  'FlowDistinguisherMethod.type',
  'PriorityLevelConfigurationSpec.type',
  'LimitResponse.type',
  'VolumeAttachmentSpec.nodeName',
  'VolumeAttachmentSpec.attacher',
  'CSIStorageCapacity.storageClassName',
  'TopologySelectorLabelRequirement.key',
  'TopologySelectorLabelRequirement.values',
  'CSINodeDriver.name',
  'CSINodeDriver.nodeID',
  'TopologySpreadConstraint.whenUnsatisfiable',
  'PodSchedulingGate.name',
  'ContainerRestartRule.action',
  'ContainerRestartRuleOnExitCodes.operator',
  'OwnerReference.apiVersion',
  'OwnerReference.kind',
  'OwnerReference.name',
  'OwnerReference.uid',
  'SuccessPolicy.rules',
  'PodFailurePolicy.rules',
  'HPAScalingPolicy.type',
  'MetricSpec.type',
  'ContainerResourceMetricSource.container',
  'ContainerResourceMetricSource.name',
  'ResourceMetricSource.name',
  'TypedLocalObjectReference.kind',
  'TypedLocalObjectReference.name',
  'Taint.effect',
  'ScopedResourceSelectorRequirement.scopeName',
  'ScopedResourceSelectorRequirement.operator',
  'HTTPHeader.value',
  'HTTPHeader.name',
  'Sysctl.value',
  'GRPCAction.port',
  'ContainerPort.containerPort',
  'ScaleIOVolumeSource.secretRef',
  'ScaleIOPersistentVolumeSource.secretRef',
  'TokenRequest.audience',
  'Subject.name',
  'RoleRef.name',
  'RoleRef.kind',
  'Subject.kind',
  'EndpointAddress.ip',
  'PolicyRule.verbs',
  'ObjectReference.kind',
  'Endpoint.addresses',
  'PodSpec.containers',
  'Container.name',
  'EphemeralContainer.name',
  'Volume.name',
  'VolumeMount.name',
  'EnvVar.name',
  'PodFailurePolicyOnExitCodesRequirement.values',
  'CSINodeSpec.drivers',
  'EventSeries.lastObservedTime',
  'Event.eventTime',
  'DaemonSetSpec.selector',
  'CustomResourceColumnDefinition.type',
  'CustomResourceColumnDefinition.name',
  'CustomResourceColumnDefinition.jsonPath',
  'CustomResourceDefinitionSpec.group',
  'CustomResourceDefinitionSpec.scope',
  'CustomResourceDefinitionSpec.versions',
  'CustomResourceDefinitionNames.plural',
  'CustomResourceDefinitionNames.kind',
  'CustomResourceDefinitionVersion.name',
  'CustomResourceConversion.strategy',
  'WebhookConversion.conversionReviewVersions',
  'ValidationRule.rule',
  'CustomResourceSubresourceScale.specReplicasPath',
  'CustomResourceSubresourceScale.statusReplicasPath',
  'SelectableField.jsonPath',
  'LabelSelectorRequirement.key',
  'LabelSelectorRequirement.operator',
  'NodeSelectorRequirement.key',
  'NodeSelectorRequirement.operator',
  'NodeSelector.nodeSelectorTerms',
  'ConfigMapNodeConfigSource.namespace',
  'ConfigMapNodeConfigSource.name',
  'ConfigMapNodeConfigSource.kubeletConfigKey',
  'Taint.key',
  'TopologySpreadConstraint.topologyKey',
  'PodAffinityTerm.topologyKey',
  'PodReadinessGate.conditionType',
  'HostAlias.ip',
  'PodResourceClaim.name',
  'ResourceClaim.name',
  'ContainerResizePolicy.resourceName',
  'ContainerResizePolicy.restartPolicy',
  'MetricTarget.type',
  'MetricIdentifier.name',
  'ResourceFieldSelector.resource',
  'CronJobSpec.schedule',
  'PriorityLevelConfigurationReference.name',
  'PolicyRulesWithSubjects.subjects',
  'ResourcePolicyRule.verbs',
  'ResourcePolicyRule.apiGroups',
  'ResourcePolicyRule.resources',
  'NonResourcePolicyRule.verbs',
  'NonResourcePolicyRule.nonResourceURLs',
  'CertificateSigningRequestSpec.request',
  'CertificateSigningRequestSpec.signerName',
  'VolumeAttributesClass.driverName',
  'StorageClass.provisioner',
  'CSIDriver.spec',
  'RuntimeClass.handler',
  'Variable.name',
  'Variable.expression',
  'Validation.expression',
  'AuditAnnotation.valueExpression',
  'MatchCondition.name',
  'MatchCondition.expression',
  'MutatingWebhook.sideEffects',
  'MutatingWebhook.admissionReviewVersions',
  'ValidatingWebhook.sideEffects',
  'ValidatingWebhook.admissionReviewVersions',
  'ValidatingAdmissionPolicyBindingSpec.policyName',
  'MutatingWebhook.name',
  'ValidatingWebhook.name',
  'LimitRangeItem.type',
  'AuditAnnotation.key',
  'ValidatingAdmissionPolicyBindingSpec.validationActions',
  'IngressServiceBackend.name',
  'HTTPIngressPath.pathType',
  'ServicePort.port',
  'EndpointPort.port',
  'LimitRangeSpec.limits',
  // The core group's name is empty.
  'GroupResource.group',
])

/** Sets of values that upstream refuses in other words, which code says. */
const OTHER_WORDS = new Set([
  'CSIDriverSpec.volumeLifecycleModes',
  'StatefulSetPersistentVolumeClaimRetentionPolicy.whenDeleted',
  'StatefulSetPersistentVolumeClaimRetentionPolicy.whenScaled',
  'PodSecurityContext.seLinuxChangePolicy',
  'NetworkPolicySpec.policyTypes',
  'JobSpec.podReplacementPolicy',
  'LabelSelectorRequirement.operator',
  'NodeSelectorRequirement.operator',
  'Toleration.operator',
  'ServiceSpec.ipFamilies',
  'CertificateSigningRequestSpec.usages',
  'ResourceQuotaSpec.scopes',
  'PodFailurePolicyRule.action',
  'HTTPIngressPath.pathType',
  'Taint.effect',
  'Toleration.effect',
  'TopologySpreadConstraint.whenUnsatisfiable',
  'PersistentVolumeClaimSpec.volumeMode',
  'ContainerStatus.stopSignal',
  'DaemonSetUpdateStrategy.type',
  'DeploymentStrategy.type',
  'MutatingWebhook.sideEffects',
  'ValidatingWebhook.sideEffects',
  'PersistentVolumeClaimSpec.accessModes',
  'PersistentVolumeSpec.accessModes',
  'ScopedResourceSelectorRequirement.operator',
  'ScopedResourceSelectorRequirement.scopeName',
  'StatefulSetSpec.podManagementPolicy',
  'StatefulSetUpdateStrategy.type',
  'StorageClass.reclaimPolicy',
])

const FILE_FIRST = ['File', 'FallbackToLogsOnError']
const PREEMPTING_FIRST = ['PreemptLowerPriority', 'Never']
/** The facts sort closed sets of values; a refusal names these in another order. */
const NAMED_ORDER: Readonly<Record<string, readonly string[]>> = {
  'Container.terminationMessagePolicy': FILE_FIRST,
  'EphemeralContainer.terminationMessagePolicy': FILE_FIRST,
  'JobSpec.completionMode': ['NonIndexed', 'Indexed'],
  'NetworkPolicyPort.protocol': ['TCP', 'UDP', 'SCTP'],
  'PodSpec.dnsPolicy': ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None'],
  'PodSpec.preemptionPolicy': PREEMPTING_FIRST,
  'PodSpec.restartPolicy': ['Always', 'OnFailure', 'Never'],
  'PriorityClass.preemptionPolicy': PREEMPTING_FIRST,
  'SeccompProfile.type': ['Localhost', 'RuntimeDefault', 'Unconfined'],
}

const compiled = new Map<string, readonly Rule[]>()

/** All breaches of the facts' rules in an object of the type; status and metadata are not looked at. */
export function factRules(type: string): (object: JsonObject) => readonly FieldError[] {
  let rules: readonly Rule[] | undefined
  return (object) => {
    rules ??= rulesOf(type).filter(({ name }) => name !== 'metadata' && name !== 'status')
    const errors: FieldError[] = []
    run(rules, object, FieldPath.root, errors)
    return errors
  }
}

function run(
  rules: readonly Rule[],
  object: JsonObject,
  path: FieldPath,
  errors: FieldError[],
): void {
  for (const { name, check } of rules) check(object[name], path, errors)
}

function rulesOf(type: string): readonly Rule[] {
  const known = compiled.get(type)
  if (known) return known
  const rules: Rule[] = []
  compiled.set(type, rules)
  const short = type.slice(type.lastIndexOf('.') + 1)
  for (const field of typeTable[type]?.fields ?? []) {
    if (field.via === 'TypeMeta') continue
    const check = checkOf(field, `${short}.${field.name}`)
    if (check) rules.push({ name: field.name, check })
  }
  return rules
}

function checkOf(field: FieldFact, id: string): Check | undefined {
  const { name } = field
  const isRequired = field.required === true && !MAY_BE_EMPTY.has(id) && canBeMissing(field)
  const values = OTHER_WORDS.has(id) ? undefined : (NAMED_ORDER[id] ?? field.enum)
  const inner = below(field)
  if (!isRequired && values === undefined && inner === undefined) return undefined
  const allowed = values && new Set<unknown>(values)
  return (value, path, errors) => {
    if (value === undefined || value === '') {
      if (isRequired) errors.push(required(path.child(name)))
      return
    }
    if (isRequired && Array.isArray(value) && value.length === 0) {
      errors.push(required(path.child(name)))
    }
    if (allowed && values) {
      if (typeof value === 'string') {
        if (!allowed.has(value)) errors.push(notSupported(path.child(name), value, values))
      } else if (Array.isArray(value)) {
        for (let i = 0; i < value.length; i++)
          if (!allowed.has(value[i]))
            errors.push(notSupported(path.child(name).index(i), value[i], values))
      }
    }
    if (inner) inner(value, path, errors, name)
  }
}

/** Numbers, booleans and plain structs are never absent once an object is canonical. */
function canBeMissing(field: FieldFact): boolean {
  if (field.ref !== undefined) return field.ptr === true
  return field.type === 'string' || field.type === 'array' || field.type === 'object'
}

type Inner = (value: unknown, path: FieldPath, errors: FieldError[], name: string) => void

/** Looks into structs, lists and maps of structs, where their types have rules at all. */
function below(schema: SchemaFact): Inner | undefined {
  const ref = schema.ref ?? schema.items?.ref ?? schema.values?.ref
  if (ref === undefined || !hasRules(ref, new Set())) return undefined
  if (schema.ref !== undefined) {
    return (value, path, errors, name) =>
      run(rulesOf(ref), value as JsonObject, path.child(name), errors)
  }
  if (schema.items) {
    return (value, path, errors, name) => {
      if (!Array.isArray(value)) return
      const list = path.child(name)
      for (let i = 0; i < value.length; i++)
        run(rulesOf(ref), value[i] as JsonObject, list.index(i), errors)
    }
  }
  return (value, path, errors, name) => {
    const items = value as JsonObject
    for (const key in items)
      run(rulesOf(ref), items[key] as JsonObject, path.child(name).key(key), errors)
  }
}

function hasRules(type: string, seen: Set<string>): boolean {
  if (seen.has(type)) return false
  seen.add(type)
  const short = type.slice(type.lastIndexOf('.') + 1)
  return (typeTable[type]?.fields ?? []).some((field) => {
    const id = `${short}.${field.name}`
    if (field.required === true && !MAY_BE_EMPTY.has(id) && canBeMissing(field)) return true
    if (field.enum && !OTHER_WORDS.has(id)) return true
    const ref = field.ref ?? field.items?.ref ?? field.values?.ref
    return ref !== undefined && hasRules(ref, seen)
  })
}
