/** `pods/exec` and `pods/attach`. */
import type { Clock } from '#base'
import { badRequest, type StatusError } from '#machinery'
import type { Reply } from '../exchange.ts'
import type { ConnectHandler } from '../extensions.ts'
import { exitStatus, failureOf, openSession, queryFlag, type StreamOptions } from '#client'
import { containerOf, nodeApiOf, podOf, targetOf, type NodeApis } from './target.ts'

export interface SessionOptions {
  readonly nodeApi: NodeApis
  readonly clock: Pick<Clock, 'sleep'>
}

export const UPGRADED: Reply = { status: 101, headers: {}, upgraded: true }

function streamsOf(query: URLSearchParams, stdoutByDefault: boolean): StreamOptions {
  const asked = (name: string, fallback: boolean): boolean =>
    query.has(name) ? queryFlag(query, name) : fallback
  const options = {
    stdin: asked('stdin', false),
    stdout: asked('stdout', stdoutByDefault),
    stderr: asked('stderr', stdoutByDefault),
    tty: asked('tty', false),
  }
  if (!options.stdin && !options.stdout && !options.stderr)
    throw badRequest('you must specify at least 1 of stdin, stdout, stderr')
  return options
}

export const podExec =
  ({ nodeApi, clock }: SessionOptions): ConnectHandler =>
  async (exchange, target) => {
    const pod = podOf(target)
    const { query } = exchange
    const container = containerOf(pod, query.get('container') ?? '')
    const options = streamsOf(query, false)
    const command = query.getAll('command')
    if (command.length === 0) throw badRequest('you must specify at least one command')
    const node = nodeApiOf(pod, nodeApi)
    const session = await openSession(exchange, options, clock)
    let failure: StatusError | undefined
    try {
      const { exitCode } = await node.exec(
        targetOf(pod),
        { container, command, tty: options.tty },
        session.streams,
        session.gone,
      )
      if (exitCode !== 0) failure = exitStatus(exitCode)
    } catch (error) {
      failure = failureOf(error, 'error executing command in container')
    }
    await session.finish(failure)
    return UPGRADED
  }

export const podAttach =
  ({ nodeApi, clock }: SessionOptions): ConnectHandler =>
  async (exchange, target) => {
    const pod = podOf(target)
    const container = containerOf(pod, exchange.query.get('container') ?? '')
    const options = streamsOf(exchange.query, true)
    const node = nodeApiOf(pod, nodeApi)
    const session = await openSession(exchange, options, clock)
    let failure: StatusError | undefined
    try {
      await node.attach(
        targetOf(pod),
        { container, tty: options.tty },
        session.streams,
        session.gone,
      )
    } catch (error) {
      failure = failureOf(error, 'error attaching to container')
    }
    await session.finish(failure)
    return UPGRADED
  }
