export { createAggregator } from './aggregation/index.ts'
export { createApiServer } from './create-server.ts'
export { ensureBootstrap, type BootstrapOptions } from './bootstrap.ts'
export { createDescriptions } from './descriptions.ts'
export { GIT_VERSION } from './pages/index.ts'
export type * from './access.ts'
export type * from './admission.ts'
export type * from './exchange.ts'
export type { ConnectHandler, ConnectTarget, Extensions, VirtualResource } from './extensions.ts'
export type { Listening, ListenOptions } from './http/index.ts'
export type { Reader, ServerInside } from './inside.ts'
export type { OwnSchemas } from './own-schemas.ts'
export type { ApiServer, ApiServerOptions } from './server.ts'
export {
  accessControl,
  ensureAuthenticationConfig,
  ensureRbac,
  ensureTokenTracking,
  followAggregation,
  openAccess,
  signLegacyToken,
  tokenSigner,
  type AccessControl,
  type AccessOptions,
  type OpenedAccess,
} from './auth/index.ts'
export { ensureFlowControl, keepFlowStatus } from './flowcontrol/index.ts'
export { openAudit, type Audit, type AuditOptions } from './audit/index.ts'
export { openEncryption } from './encryption/index.ts'
export { builtInAdmission } from './admission/index.ts'
export { openAdmission, type AdmissionSettings, type OpenedAdmission } from './admission/open.ts'
export { followPolicies } from './admission/policies/status.ts'
export { inScope, usageOf } from './admission/quota-usage.ts'
export {
  createRequest,
  ensureAuthorities,
  ensurePki,
  forgetRetiredKeys,
  kubeconfigText,
  keyPem,
  newKey,
  readRequest,
  retiredKeys,
  rotateServiceAccountKey,
  type Credential,
  type Authorities,
  type Pki,
} from './certificates/index.ts'
export { createWebhookClient } from './webhook-client/index.ts'
export { metricsReads } from './node-metrics/index.ts'
export { connectHandlers, type NodeApis } from './streaming/index.ts'
