/** Flags of the API server, under the names that kube-apiserver gives them. */
import { parseRuntimeConfig, type Enabled } from '#api'
import { checkEndpoint, type ServeOptions } from '#cluster'
import { UsageError, wholeNumber, type OptionSpec, type ParsedArguments } from '../arguments.ts'
import { accessOptions, accessSettings } from './access-flags.ts'
import { admissionOptions, admissionSettings } from './admission-flags.ts'
import { first } from './common.ts'
import { kubeletOptions, kubeletSettings } from './kubelet-flags.ts'

export const apiOptions: readonly OptionSpec[] = [
  {
    name: 'runtime-config',
    value: 'VERSIONS',
    repeat: true,
    summary:
      'API versions that are served as well, or not: resource.k8s.io/v1beta2=true,api/beta=true',
  },
  {
    name: 'audit-policy-file',
    value: 'FILE',
    summary: 'Which requests are written down, and how much of them (audit.k8s.io/v1 Policy)',
  },
  { name: 'audit-log-path', value: 'FILE', summary: 'Where audit events go, one a line' },
  {
    name: 'audit-log-maxsize',
    value: 'MB',
    summary: 'The audit log is rotated at this size (default 100)',
  },
  {
    name: 'audit-log-maxbackup',
    value: 'N',
    summary: 'How many rotated audit logs are kept (default 10)',
  },
  {
    name: 'audit-webhook-config-file',
    value: 'FILE',
    summary: 'A kubeconfig: where audit events are sent in batches',
  },
  {
    name: 'encryption-provider-config',
    value: 'FILE',
    summary:
      'How values lie in the store (EncryptionConfiguration; default: Secrets with AES-GCM, by DATA-DIR/encryption.yaml)',
  },
  {
    name: 'tracing-config-file',
    value: 'FILE',
    summary: 'Where traces go and how many (TracingConfiguration, OpenTelemetry)',
  },
  {
    name: 'tracing-endpoint',
    value: 'ADDRESS',
    summary: 'All traces go there: host:port for OTLP over gRPC, or a URL for OTLP over HTTP',
  },
  ...kubeletOptions,
  ...admissionOptions,
  ...accessOptions,
]

export function apiSettings(parsed: ParsedArguments): NonNullable<ServeOptions['api']> {
  const encryptionFile = first(parsed, 'encryption-provider-config')
  const versions = parsed.values.get('runtime-config') ?? []
  const policyFile = first(parsed, 'audit-policy-file')
  const path = first(parsed, 'audit-log-path')
  const webhookFile = first(parsed, 'audit-webhook-config-file')
  if (policyFile === undefined && (path !== undefined || webhookFile !== undefined))
    throw new UsageError('Auditing needs a policy: --audit-policy-file FILE')
  if (policyFile !== undefined && path === undefined && webhookFile === undefined)
    throw new UsageError(
      'Audit events need a place to go: --audit-log-path FILE or --audit-webhook-config-file FILE',
    )
  const number = (name: string, usual: number, least: number): number =>
    wholeNumber(name, first(parsed, name) ?? String(usual), { min: least, max: 1_000_000 })
  const maxSizeMb = number('audit-log-maxsize', 100, 1)
  const maxBackups = number('audit-log-maxbackup', 10, 0)
  const access = accessSettings(parsed)
  const admission = admissionSettings(parsed)
  const tracing = tracingOf(parsed)
  const kubelets = kubeletSettings(parsed)
  return {
    ...(kubelets === undefined ? {} : { kubelets }),
    ...(access === undefined ? {} : { access }),
    ...(admission === undefined ? {} : { admission }),
    ...(tracing === undefined ? {} : { tracing }),
    ...(versions.length === 0 ? {} : { serves: runtimeConfig(versions) }),
    ...(encryptionFile === undefined ? {} : { encryptionFile }),
    ...(policyFile === undefined
      ? {}
      : {
          audit: {
            policyFile,
            ...(path === undefined ? {} : { log: { path, maxSizeMb, maxBackups } }),
            ...(webhookFile === undefined ? {} : { webhookFile }),
          },
        }),
  }
}

function tracingOf(parsed: ParsedArguments): NonNullable<ServeOptions['api']>['tracing'] {
  const file = first(parsed, 'tracing-config-file')
  const endpoint = first(parsed, 'tracing-endpoint')
  if (endpoint === undefined) return file === undefined ? undefined : { file }
  if (file !== undefined)
    throw new UsageError('--tracing-endpoint and --tracing-config-file cannot be given together')
  try {
    checkEndpoint(endpoint)
  } catch (error) {
    throw new UsageError(
      `--tracing-endpoint: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
  return { endpoint, samplesPerMillion: 1_000_000 }
}

function runtimeConfig(texts: readonly string[]): Enabled {
  try {
    return parseRuntimeConfig(texts)
  } catch (error) {
    throw new UsageError(
      `--runtime-config: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
}
