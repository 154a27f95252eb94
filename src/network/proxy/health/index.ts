/** The ports of a node on which load balancers and people ask after its service proxy. */
import type { EndpointSlice, Node, Service } from '#api'
import type { Env, Listener } from '#base'
import { keyOf } from '#machinery'
import type { Follow } from '../../follow.ts'
import { followServices } from '../../service-index.ts'
import {
  healthPortOf,
  localEndpoints,
  modeAnswer,
  proxyAnswer,
  serviceAnswer,
  type ProxyState,
} from './answers.ts'
import { answerOnce, type Answer } from './http.ts'

/** Whose health is told, and where. */
export interface ProxyHealthOptions {
  readonly env: Pick<Env, 'clock' | 'net' | 'log'>
  readonly nodeName: string
  readonly nodes: Follow<Node>
  readonly services: Follow<Service>
  readonly endpointSlices: Follow<EndpointSlice>
  /** Since when something has been on its way to the kernel, by the monotonic clock. */
  readonly waitingSince: () => number | undefined
}

/** kube-proxy's `--healthz-bind-address` and `--metrics-bind-address`. */
const HEALTH = { host: '0.0.0.0', port: 10_256 }
const MODE = { host: '127.0.0.1', port: 10_249 }
const MAX_PORTS = 1000

/** Answers until the signal aborts. A port that is taken is done without: another cluster's node may have it. */
export async function answerHealth(
  options: ProxyHealthOptions,
  signal: AbortSignal,
): Promise<void> {
  const { env, nodeName } = options
  const log = env.log.for('service-proxy')
  let node: Node | undefined
  const state = (): ProxyState => {
    const since = options.waitingSince()
    const waitingMs = since === undefined ? 0 : env.clock.monotonic() - since
    return { now: env.clock.now(), waitingMs, node }
  }
  /** A port may be given back by one Service and taken by another at once. */
  let closing: Promise<unknown> = Promise.resolve()
  const open = async (
    at: { readonly host: string; readonly port: number },
    answer: (path: string) => Answer,
  ): Promise<Listener | undefined> => {
    try {
      await closing
      return await env.net.listen(at, (socket) =>
        answerOnce(socket, (ms, run) => env.clock.schedule(ms, run), answer),
      )
    } catch (error) {
      log.warn('A port for questions after health is taken', { ...at, error })
      return undefined
    }
  }

  const listeners = new Map<number, Promise<Listener | undefined>>()
  const own = [open(HEALTH, (path) => proxyAnswer(path, state())), open(MODE, modeAnswer)]
  const close = (listener: Promise<Listener | undefined>): void => {
    closing = Promise.all([closing, listener.then((open) => open?.close())]).catch(() => undefined)
  }
  signal.addEventListener('abort', () => {
    for (const listener of [...own, ...listeners.values()]) close(listener)
  })

  /** By Service; the port is closed when the Service no longer asks for it. */
  const ports = new Map<string, number>()
  const onService = (key: string, service: Service | undefined): void => {
    const before = ports.get(key)
    const port = service === undefined ? undefined : healthPortOf(service)
    if (port === before || signal.aborted) return
    if (before !== undefined) {
      ports.delete(key)
      const listener = listeners.get(before)
      listeners.delete(before)
      if (listener !== undefined) close(listener)
    }
    if (port === undefined || ports.size >= MAX_PORTS) return
    ports.set(key, port)
    const [namespace = '', name = ''] = key.split('/')
    listeners.set(
      port,
      open({ host: '0.0.0.0', port }, () =>
        serviceAnswer(
          { namespace, name },
          localEndpoints(index?.slices(key) ?? [], nodeName),
          state(),
        ),
      ),
    )
  }
  const touched = new Set<string>()
  let index: Awaited<ReturnType<typeof followServices>> | undefined
  const onChange = (key: string): void => {
    if (index === undefined) touched.add(key)
    else onService(key, index.service(key))
  }
  const [followed] = await Promise.all([
    followServices(options, onChange, signal),
    options.nodes(({ type, object }) => {
      if (keyOf(object) === nodeName) node = type === 'gone' ? undefined : object
    }, signal),
  ])
  index = followed
  for (const key of touched) onService(key, index.service(key))
  await Promise.all(own)
}
