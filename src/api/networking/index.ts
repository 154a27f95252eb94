/** The group networking.k8s.io: ways in, and walls. */
import { ipAddresses, serviceCIDRs } from './addresses.ts'
import { ingressClasses } from './ingress-class.ts'
import { ingresses } from './ingress.ts'
import { networkPolicies } from './network-policy.ts'

export const networking = [ingressClasses, ingresses, ipAddresses, networkPolicies, serviceCIDRs]
