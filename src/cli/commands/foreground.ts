/** A part of the cluster in this process, until it is told to end. */
import {
  ClusterError,
  LEASH_VARIABLE,
  openReporter,
  type Progress,
  type RunningCluster,
} from '#cluster'
import { aborted, type Env } from '#base'
import { CommandError, type CommandContext } from '../command.ts'
import {
  serveControl,
  type ControlRequest,
  type ImageRequest,
  type NodesRequest,
} from '../control.ts'
import { pathsFor } from './common.ts'

/** Runs until it is stopped: by a signal, or by a command through the control socket. */
export async function foreground(
  context: CommandContext,
  begin: (
    env: Env,
    report: (progress: Progress) => void,
    signal: AbortSignal,
  ) => Promise<RunningCluster>,
  onReady: (running: RunningCluster) => Promise<void> | void = () => undefined,
): Promise<number> {
  const { env } = context
  const paths = pathsFor(context)
  const { send: report, gone } = await openReporter(env)
  const leash = new AbortController()
  if (env.process.environment[LEASH_VARIABLE] === '1')
    void gone.then(() => leash.abort(new CommandError('Whoever started this program is gone')))
  const signal = AbortSignal.any([context.signal, leash.signal])
  let running: RunningCluster
  try {
    running = await begin(env, (progress) => report({ type: 'progress', progress }), signal)
  } catch (error) {
    report({ type: 'failed', message: messageOf(error), advice: adviceOf(error) })
    throw error instanceof ClusterError ? new CommandError(error.message, ...error.advice) : error
  }
  const stop = new AbortController()
  let containers: 'leave' | 'stop' = 'leave'
  await env.fs.remove(paths.controlSocket)
  const control = await serveControl(env, paths.controlSocket, async (request: ControlRequest) => {
    if (request.command === 'status') return running.status()
    if (request.command === 'image') return performImage(running, request)
    if (request.command === 'nodes') return performNodes(running, request)
    containers = request.containers ? 'stop' : 'leave'
    stop.abort()
    await running.stopped
    return undefined
  })
  // It may have been asked to end while it began.
  const ending = Promise.race([aborted(signal), aborted(stop.signal)])
  try {
    await Promise.race([running.ready, ending])
    if (!signal.aborted && !stop.signal.aborted) {
      report({ type: 'ready', status: await running.status() })
      await onReady(running)
    }
    await ending
  } catch (error) {
    report({ type: 'failed', message: messageOf(error), advice: adviceOf(error) })
    await running.stop({ containers: 'leave' })
    await control.close()
    throw error instanceof ClusterError ? new CommandError(error.message, ...error.advice) : error
  }
  await running.stop({ containers })
  await control.close()
  await env.fs.remove(paths.controlSocket)
  return 0
}

async function performImage({ images }: RunningCluster, request: ImageRequest): Promise<unknown> {
  if (images === undefined)
    throw new ClusterError('This cluster has a simulated runtime: it has no images')
  switch (request.action) {
    case 'load':
      return images.load(request.path)
    case 'build':
      return images.build(request)
    case 'list':
      return images.list()
    case 'remove':
      return images.remove(request.name)
  }
}

async function performNodes({ nodes }: RunningCluster, request: NodesRequest): Promise<unknown> {
  if (nodes === undefined)
    throw new ClusterError('This process has no nodes to add or to switch: it is not `navarch up`')
  switch (request.action) {
    case 'list':
      return nodes.list()
    case 'grow':
      return nodes.grow(request.count)
    case 'start':
      return nodes.powerOn(request.name)
    case 'stop':
      return nodes.powerOff(request.name)
    case 'remove':
      return nodes.remove(request.name)
  }
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)
const adviceOf = (error: unknown): readonly string[] =>
  error instanceof ClusterError ? error.advice : []
