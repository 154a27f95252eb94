/** How the API server reaches kubelets, under the names that kube-apiserver gives these flags. */
import { resolve } from 'node:path'
import { ADDRESS_TYPES, type AddressType, type ServeOptions } from '#cluster'
import { UsageError, type OptionSpec, type ParsedArguments } from '../arguments.ts'
import { first } from './common.ts'

export const kubeletOptions: readonly OptionSpec[] = [
  {
    name: 'kubelet-preferred-address-types',
    value: 'LIST',
    summary:
      "Which of a node's addresses its kubelet is asked at, the first kind that it has (default InternalIP,ExternalIP,InternalDNS,ExternalDNS,Hostname)",
  },
  {
    name: 'kubelet-certificate-authority',
    value: 'FILE',
    summary:
      "Who signs the certificates of kubelets that are not Navarch's (default: those are not verified)",
  },
]

export function kubeletSettings(
  parsed: ParsedArguments,
): NonNullable<ServeOptions['api']>['kubelets'] {
  const list = first(parsed, 'kubelet-preferred-address-types')
  const file = first(parsed, 'kubelet-certificate-authority')
  if (list === undefined && file === undefined) return undefined
  return {
    ...(list === undefined ? {} : { addressTypes: list.split(',').map(addressType) }),
    ...(file === undefined ? {} : { authorityFile: resolve(file) }),
  }
}

function addressType(text: string): AddressType {
  const found = ADDRESS_TYPES.find((type) => type === text.trim())
  if (found === undefined)
    throw new UsageError(
      `--kubelet-preferred-address-types must be of ${ADDRESS_TYPES.join(', ')}, not ${JSON.stringify(text)}`,
    )
  return found
}
