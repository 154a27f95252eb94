/** Whether a range of a cluster is another's on this machine already. */
import { parseCidr, type Cidr } from './ip.ts'

export interface Occupied {
  /** The one asked for. */
  readonly range: string
  readonly device: string
  /** What the device has of it: `10.244.0.0/24`. */
  readonly route: string
}

const ROUTE = /^(?:\w+ )?(\d+\.\d+\.\d+\.\d+(?:\/\d+)?) dev (\S+)/

/**
 * The first network of the machine that lies in one of the ranges, on a device that is not ours. What is reached by
 * way of others, and networks wider than a range, give way to ours and do no harm.
 *
 * @param routes as `ip -4 route show table all` prints them
 */
export function occupied(
  routes: string,
  ranges: readonly string[],
  isOurs: (device: string) => boolean,
): Occupied | undefined {
  const asked = ranges.flatMap((range) => parseCidr(range) ?? [])
  for (const line of routes.split('\n')) {
    const [, text = '', device = ''] = ROUTE.exec(line) ?? []
    const route = parseCidr(text.includes('/') ? text : `${text}/32`)
    if (route === undefined || isOurs(device)) continue
    const range = asked.find((each) => lies(route, each))
    if (range !== undefined) return { range: range.text, device, route: route.text }
  }
  return undefined
}

const lies = (inner: Cidr, outer: Cidr): boolean =>
  inner.prefix >= outer.prefix &&
  inner.base >= outer.base &&
  inner.base < outer.base + 2 ** (32 - outer.prefix)

/** The first of these ranges in which nothing of the machine lies. */
export const firstFree = (
  routes: string,
  candidates: readonly string[],
  isOurs: (device: string) => boolean,
): string | undefined => candidates.find((range) => occupied(routes, [range], isOurs) === undefined)
