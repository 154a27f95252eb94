/** Opens what the API server's flags name; mistakes are told with the file and what would be right. */
import { join } from 'node:path'
import { definitions as stableDefinitions } from '#api'
import {
  openAccess,
  openAdmission,
  openAudit,
  openEncryption,
  type Audit,
  type OpenedAccess,
  type OpenedAdmission,
} from '#apiserver'
import type { Env } from '#base'
import type { ResourceDefinition } from '#machinery'
import type { Storage } from '#storage'
import { openKubeletSettings, type OpenedKubeletSettings } from './kubelet-address.ts'
import { guarded } from './data-folder.ts'
import { ClusterError, type ApiSettings } from './options.ts'

export interface OpenedSettings {
  /** The store as the API server sees it. */
  readonly storage: Storage
  readonly audit: Audit | undefined
  readonly access: OpenedAccess
  readonly admission: OpenedAdmission
  readonly kubelets: OpenedKubeletSettings
  readonly readyChecks: Readonly<Record<string, () => Promise<void>>>
  /** Seals what was stored before its resource was to be, or by an earlier key. */
  rewrite(): Promise<number>
  close(): Promise<void>
}

export async function openSettings(
  env: Env,
  store: Storage,
  dataDir: string,
  settings: ApiSettings & { readonly definitions?: readonly ResourceDefinition[] } = {},
): Promise<OpenedSettings> {
  const { encryptionFile, audit: auditOptions, definitions = stableDefinitions } = settings
  const file = encryptionFile ?? join(dataDir, 'encryption.yaml')
  if (encryptionFile !== undefined && (await env.fs.stat(encryptionFile)) === undefined)
    throw new ClusterError(
      `There is no file ${encryptionFile}`,
      'Check --encryption-provider-config',
    )
  const told = async <T>(run: () => Promise<T>, advice: string): Promise<T> => {
    try {
      return await run()
    } catch (error) {
      if (error instanceof ClusterError) throw error
      throw new ClusterError(error instanceof Error ? error.message : String(error), advice)
    }
  }
  const encryption = await told(
    () => guarded(file, () => openEncryption(env, store, { file, definitions })),
    'Encryption at rest is configured there; without its keys what is stored cannot be read',
  )
  const audit =
    auditOptions &&
    (await told(
      () => openAudit(env, auditOptions),
      'Check --audit-policy-file and the files it goes with',
    ))
  const access = await told(
    () => openAccess(env, settings.access ?? {}),
    'Check the flags of authentication and authorization, and the files they name',
  )
  const admission = await told(
    () => openAdmission(env, settings.admission ?? {}),
    'Check --enable-admission-plugins, --disable-admission-plugins and --admission-control-config-file',
  )
  const kubelets = await openKubeletSettings(env, settings.kubelets ?? {})
  return {
    kubelets,
    storage: encryption.storage,
    audit,
    access,
    admission,
    readyChecks: encryption.checks,
    rewrite: () => encryption.rewrite(),
    async close() {
      encryption.close()
      access.close()
      await audit?.close()
    },
  }
}
