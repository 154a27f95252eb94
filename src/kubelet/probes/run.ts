/** One try of a probe or a hook's request: resolves what it points at, and asks. */
import type { Env } from '#base'
import type { HTTPGetAction, Probe } from '#api'
import type { AnyContainer } from '../pod/containers.ts'
import { type Runtime, RuntimeError } from '../runtime.ts'
import { type ProbeOutcome, timeoutMs } from './decide.ts'
import { probeGrpc } from './grpc.ts'
import { type HttpTarget, probeHttp } from './http.ts'

export interface ProbeTarget {
  readonly container: AnyContainer
  readonly containerId: string
  readonly podIp: string
}

export async function runProbe(
  probe: Probe,
  target: ProbeTarget,
  runtime: Runtime,
  env: Pick<Env, 'net' | 'clock'>,
  outer: AbortSignal,
): Promise<ProbeOutcome> {
  if (probe.exec !== undefined) {
    return execProbe(probe, target, runtime)
  }
  if (runtime.simulated && isOfPod(probe, target)) return simulatedProbe(probe, target)
  const deadline = new AbortController()
  const cancel = env.clock.schedule(timeoutMs(probe), () =>
    deadline.abort(new Error('context deadline exceeded')),
  )
  const signal = AbortSignal.any([outer, deadline.signal])
  try {
    return await networkProbe(probe, target, env, signal)
  } catch (error) {
    const why = deadline.signal.aborted ? deadline.signal.reason : error
    return { ok: false, message: failureText(probe, target, why) }
  } finally {
    cancel()
  }
}

/** Whether it asks the pod itself, and not something elsewhere. */
export const isOfPod = (
  { httpGet, tcpSocket }: Pick<Probe, 'httpGet' | 'tcpSocket'>,
  { podIp }: ProbeTarget,
): boolean => [undefined, '', podIp].includes(httpGet?.host ?? tcpSocket?.host)

/** Nothing listens in a simulated container, and its address is nobody's: it answers as long as it runs. */
function simulatedProbe(
  { httpGet, tcpSocket, grpc }: Probe,
  { container }: ProbeTarget,
): ProbeOutcome {
  const port = (httpGet ?? tcpSocket ?? grpc)?.port
  if (port === undefined) return { ok: false, message: 'missing probe handler' }
  try {
    portOf(port, container)
    return { ok: true }
  } catch (error) {
    return { ok: false, message: (error as Error).message }
  }
}

async function networkProbe(
  { httpGet, tcpSocket, grpc }: Probe,
  target: ProbeTarget,
  env: Pick<Env, 'net'>,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  if (httpGet !== undefined) return probeHttp(httpTarget(httpGet, target), env, signal)
  if (tcpSocket !== undefined) {
    const host = tcpSocket.host || target.podIp
    const socket = await env.net.connect(
      { host, port: portOf(tcpSocket.port, target.container) },
      signal,
    )
    socket.destroy()
    return { ok: true }
  }
  if (grpc !== undefined) {
    const { port, service = '' } = grpc
    return probeGrpc({ host: target.podIp, port, service }, env, signal)
  }
  return { ok: false, message: 'missing probe handler' }
}

async function execProbe(
  probe: Probe,
  { containerId }: ProbeTarget,
  runtime: Runtime,
): Promise<ProbeOutcome> {
  try {
    const { exitCode, stdout, stderr } = await runtime.execSync(
      containerId,
      probe.exec?.command ?? [],
      timeoutMs(probe) / 1000,
    )
    if (exitCode === 0) return { ok: true }
    return { ok: false, message: Buffer.concat([stdout, stderr]).toString().slice(0, 10_240) }
  } catch (error) {
    if (error instanceof RuntimeError && error.code === 'deadline') {
      return {
        ok: false,
        message: `command timed out: ${shown(probe.exec?.command ?? [])} timed out after ${timeoutMs(probe) / 1000}s`,
      }
    }
    throw error
  }
}

const shown = (command: readonly string[]): string =>
  `"${command.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word}'`)).join(' ')}"`

export function httpTarget(action: HTTPGetAction, target: ProbeTarget): HttpTarget {
  const { path = '/', host, scheme = 'HTTP', httpHeaders = [], port } = action
  return {
    scheme: scheme === 'HTTPS' ? 'https' : 'http',
    host: host || target.podIp,
    port: portOf(port, target.container),
    path: path.startsWith('/') ? path : `/${path}`,
    headers: httpHeaders,
  }
}

/** A port by number or by the container's name for it. */
export function portOf(port: number | string, container: AnyContainer): number {
  const numeric = Number(port)
  const found = Number.isInteger(numeric)
    ? numeric
    : container.ports?.find(({ name }) => name === port)?.containerPort
  if (found === undefined || found < 1 || found > 65_535) {
    throw new Error(`couldn't find port: ${port}`)
  }
  return found
}

function failureText(probe: Probe, target: ProbeTarget, error: unknown): string {
  const why = error instanceof Error ? error.message : String(error)
  try {
    if (probe.httpGet !== undefined) {
      const { scheme, host, port, path } = httpTarget(probe.httpGet, target)
      const shownHost = host.includes(':') ? `[${host}]` : host
      return `Get "${scheme}://${shownHost}:${port}${path}": ${dialText(why, host, port)}`
    }
    if (probe.tcpSocket !== undefined) {
      const host = probe.tcpSocket.host || target.podIp
      return dialText(why, host, portOf(probe.tcpSocket.port, target.container))
    }
    if (probe.grpc !== undefined) {
      return `timeout: failed to connect service "${target.podIp}:${probe.grpc.port}" within ${timeoutMs(probe) / 1000}s: ${why}`
    }
  } catch {
    // The port could not be found: that is the message.
  }
  return why
}

/** The words that people search for. */
function dialText(why: string, host: string, port: number): string {
  const address = `${host.includes(':') ? `[${host}]` : host}:${port}`
  if (why.includes('ECONNREFUSED')) return `dial tcp ${address}: connect: connection refused`
  if (why.includes('EHOSTUNREACH')) return `dial tcp ${address}: connect: no route to host`
  if (why.includes('context deadline exceeded')) {
    return 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
  }
  return why
}
