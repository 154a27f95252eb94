/** What is asked of a pod on this node: its logs, a command, a terminal, its ports. */
import { Writable } from 'node:stream'
import type { Clock } from '#base'
import {
  exitStatus,
  failureOf,
  logOptions,
  openSession,
  serveForward,
  type NodeApi,
  type StreamOptions,
  type UpgradeRequest,
} from '#client'
import { badRequest, StatusError } from '#machinery'
import type { PodRoute } from './routes.ts'

/** As stock kubelets tell it. */
export class Refusal extends Error {
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

/** Rejects when there is no such log; what it resolves with goes on until the container ends. */
export function readLog(
  nodeApi: NodeApi,
  { target, container }: PodRoute,
  query: URLSearchParams,
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  // An older name of the same.
  const tail = query.get('tail')
  if (tail !== null && tail !== 'all' && tail !== '') query.set('tailLines', tail)
  if (tail === 'all') query.delete('tailLines')
  return nodeApi.logs(target, readOptions(query, target.pod, container), signal)
}

function readOptions(query: URLSearchParams, pod: string, container: string) {
  try {
    return logOptions(query, pod, () => container)
  } catch (error) {
    if (error instanceof StatusError && error.code === 422)
      throw new Refusal(422, '{"message": "Invalid request."}')
    throw new Refusal(400, '{"message": "Unable to decode query."}')
  }
}

const MAX_OUTPUT_BYTES = 16 << 20

/** Runs a command without a terminal; resolves with all that it wrote. */
export async function run(
  nodeApi: NodeApi,
  { target, container }: PodRoute,
  query: URLSearchParams,
  signal: AbortSignal,
): Promise<Buffer> {
  const command = (query.get('cmd') ?? '').split(' ')
  const chunks: Buffer[] = []
  let size = 0
  const out = (): Writable =>
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        size += chunk.length
        if (size <= MAX_OUTPUT_BYTES) chunks.push(chunk)
        done()
      },
    })
  const { exitCode } = await nodeApi.exec(
    target,
    { container, command, tty: false },
    { stdout: out(), stderr: out() },
    signal,
  )
  const output = Buffer.concat(chunks)
  if (exitCode !== 0)
    throw new Refusal(
      500,
      `command '${command.join(' ')}' exited with ${exitCode}: ${output.toString('utf8')}`,
    )
  return output
}

/** Answers an upgrade; resolves when the conversation is over. Rejects before anything was answered. */
export async function converse(
  nodeApi: NodeApi,
  { kind, target, container }: PodRoute,
  request: UpgradeRequest,
  clock: Pick<Clock, 'sleep'>,
): Promise<void> {
  const { query } = request
  if (kind === 'portForward') {
    await nodeApi.find?.(target)
    return serveForward(request, { node: nodeApi, target })
  }
  const options = streamsOf(query)
  const command = query.getAll('command')
  if (kind === 'exec' && command.length === 0)
    throw badRequest('you must specify at least one command')
  await nodeApi.find?.(target, container)
  const session = await openSession(request, options, clock)
  const { tty } = options
  let failure: StatusError | undefined
  try {
    if (kind === 'attach')
      await nodeApi.attach(target, { container, tty }, session.streams, session.gone)
    else {
      const { exitCode } = await nodeApi.exec(
        target,
        { container, command, tty },
        session.streams,
        session.gone,
      )
      if (exitCode !== 0) failure = exitStatus(exitCode)
    }
  } catch (error) {
    failure = failureOf(
      error,
      kind === 'exec' ? 'error executing command in container' : 'error attaching to container',
    )
  }
  await session.finish(failure)
}

/** A terminal has one output. */
function streamsOf(query: URLSearchParams): StreamOptions {
  const asked = (name: string): boolean => query.get(name) === '1'
  const tty = asked('tty')
  const options = {
    stdin: asked('input'),
    stdout: asked('output'),
    stderr: asked('error') && !tty,
    tty,
  }
  if (!options.stdin && !options.stdout && !options.stderr)
    throw badRequest('you must specify at least 1 of stdin, stdout, stderr')
  return options
}
