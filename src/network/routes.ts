/** Ways to the pods of other nodes: a route to each node's range by way of its address, as all are on one network. */
import type { Node } from '#api'
import type { Env } from '#base'
import { toolEnvironment } from './cni.ts'
import type { Follow } from './follow.ts'
import { isIPv4, parseCidr } from './ip.ts'

/** Which nodes there are, and which of them is this one. */
export interface RoutesOptions {
  readonly env: Pick<Env, 'clock' | 'log' | 'process'>
  readonly nodes: Follow<Node>
  /** This node: there is no route to itself. */
  readonly nodeName: string
  readonly nodeIp: string
}

export interface Route {
  readonly cidr: string
  readonly via: string
}

const RETRY_MS = 5000
/** Marks routes as ours (rtnetlink(7)), so that they can be told from others when a cluster is deleted. */
const PROTOCOL = '78'

/** Removes all ways to pods of the cluster that were set here. */
export async function removeRoutes({
  env,
  clusterCidr,
}: {
  readonly env: Pick<Env, 'process'>
  readonly clusterCidr: string
}): Promise<void> {
  await env.process.run(['ip', '-4', 'route', 'flush', 'proto', PROTOCOL, 'root', clusterCidr], {
    env: toolEnvironment(env),
  })
}

/** The route to a node's pods; undefined for this node, and for one that is not complete yet. */
function routeTo(
  node: Node,
  { nodeName, nodeIp }: Pick<RoutesOptions, 'nodeName' | 'nodeIp'>,
): Route | undefined {
  const cidr = parseCidr(node.spec.podCIDR ?? '')?.text
  const via = node.status?.addresses?.find(
    ({ type, address }) => type === 'InternalIP' && isIPv4(address),
  )?.address
  if (node.metadata.name === nodeName || cidr === undefined || via === undefined) return undefined
  // Simulated nodes share the machine's address: their pods are nowhere.
  return via === nodeIp || via.startsWith('127.') ? undefined : { cidr, via }
}

/** Until the signal aborts; routes stay then, since pods run on. Resolves when all nodes that are there have been seen. */
export async function keepRoutes(options: RoutesOptions, signal: AbortSignal): Promise<void> {
  const { env, nodes } = options
  const log = env.log.for('network')
  const known = new Map<string, Route>()
  let work: Promise<void> = Promise.resolve()
  const ip = async (words: readonly string[]): Promise<void> => {
    const { code, stderr } = await env.process.run(['ip', 'route', ...words], {
      env: toolEnvironment(env),
    })
    if (code !== 0) throw new Error(stderr.trim() || `ip route ended with ${code}`)
  }
  /** A node that is behind a router is reached through it: the router has to know the way to the node's pods. */
  const nextHop = async (via: string): Promise<string> => {
    const { stdout } = await env.process.run(['ip', '-4', '-o', 'route', 'get', via], {
      env: toolEnvironment(env),
    })
    return / via (\d+\.\d+\.\d+\.\d+) /.exec(stdout)?.[1] ?? via
  }
  const settle = async (name: string, wanted: Route | undefined): Promise<void> => {
    const found = known.get(name)
    if (found?.cidr === wanted?.cidr && found?.via === wanted?.via) return
    if (wanted === undefined || found?.cidr !== wanted.cidr) {
      if (found !== undefined) await ip(['del', found.cidr]).catch(() => undefined)
      known.delete(name)
    }
    if (wanted === undefined) return
    await ip(['replace', wanted.cidr, 'via', await nextHop(wanted.via), 'proto', PROTOCOL])
    known.set(name, wanted)
    log.info('pods of a node are reached', { node: name, ...wanted })
  }
  const latest = new Map<string, Route | undefined>()
  const attempt = (name: string): void => {
    work = work.then(async () => {
      if (signal.aborted) return
      try {
        await settle(name, latest.get(name))
      } catch (error) {
        log.warn('cannot set the route to the pods of a node; trying again', { node: name, error })
        const cancel = env.clock.schedule(RETRY_MS, () => attempt(name))
        signal.addEventListener('abort', cancel, { once: true })
      }
    })
  }
  await nodes(({ type, object }) => {
    const { name } = object.metadata
    const wanted = type === 'gone' ? undefined : routeTo(object, options)
    const before = latest.get(name)
    if (latest.has(name) && before?.cidr === wanted?.cidr && before?.via === wanted?.via) return
    latest.set(name, wanted)
    attempt(name)
  }, signal).catch(() => undefined)
  await work
}
