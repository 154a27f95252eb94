/** Addresses that a cluster is made of. */
import type { Env } from '#base'

const toNumber = (address: string): number =>
  address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
const toText = (number: number): string =>
  [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.')

/** The nth address of an IPv4 range: `('10.96.0.0/12', 1)` is 10.96.0.1. */
export const nthAddress = (cidr: string, n: number): string =>
  toText(toNumber(cidr.split('/')[0] ?? '') + n)

/** The first range of this size within a larger one. */
export const firstSubnet = (cidr: string, mask: number): string =>
  `${cidr.split('/')[0]}/${Math.max(mask, Number(cidr.split('/')[1]))}`

/** Whether two IPv4 ranges share an address. */
export function overlap(a: string, b: string): boolean {
  const range = (cidr: string): readonly [number, number] => {
    const [base = '', mask = '32'] = cidr.split('/')
    const size = 2 ** (32 - Number(mask))
    const first = Math.floor(toNumber(base) / size) * size
    return [first, first + size - 1]
  }
  const [left, right] = [range(a), range(b)]
  return left[0] <= right[1] && right[0] <= left[1]
}

/** The address other machines know this one by: the first that is neither loopback nor a bridge of containers. */
export function hostAddress({ net }: Pick<Env, 'net'>): string | undefined {
  const candidates = net
    .addresses()
    .filter(
      ({ family, internal, device }) =>
        family === 'IPv4' && !internal && !/^(docker|br-|nav|cni|veth|virbr)/.test(device),
    )
  return candidates[0]?.address
}
