export { accessControl, type AccessControl, type AccessControlOptions } from './access-control.ts'
export {
  authenticated,
  certificateAuthenticator,
  frontProxyAuthenticator,
  unionAuthenticator,
  type CertificateOptions,
} from './authenticators.ts'
export { mastersAuthorizer, unionAuthorizer } from './authorizers.ts'
export { discoveryPages, type DiscoveryOptions } from './discovery.ts'
export { nodeAuthorizer, references } from './node-authorizer.ts'
export { aggregatedRules, followAggregation, staleRoles } from './rbac/aggregation.ts'
export { rbacAuthorizer, type RbacAuthorizer } from './rbac/authorizer.ts'
export {
  bootstrapClusterRoleBindings,
  bootstrapClusterRoles,
  bootstrapRoleBindings,
  bootstrapRoles,
} from './rbac/bootstrap.ts'
export { ensureRbac } from './rbac/ensure.ts'
export { escalationCheck, type EscalationOptions } from './rbac/escalation.ts'
export { rbacSource, type RbacSource } from './rbac/source.ts'
export { reviews, userInfo, type ReviewOptions } from './reviews.ts'
export {
  DEFAULT_ISSUER,
  serviceAccountTokens,
  signLegacyToken,
  tokenSigner,
  type ServiceAccountTokenOptions,
  type TokenClaims,
  type TokenSigner,
} from './service-account-tokens.ts'
export { boundToPodOfNode, tokenIssuer, type TokenIssuerOptions } from './token-request.ts'
export {
  bearerAuthenticator,
  bearerToken,
  bootstrapTokens,
  staticTokens,
  unionOfTokens,
  type TokenAnswer,
  type TokenAuthenticator,
} from './tokens.ts'
export {
  anonymous,
  apiServerUser,
  nodeOf,
  parseServiceAccount,
  serviceAccountGroups,
  serviceAccountName,
} from './users.ts'
