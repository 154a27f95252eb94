/** The agent of another node on this machine: a process of its own in the node's space, on a leash. */
import type { ChildProcess, Env } from '#base'
import { ClusterError } from '../options.ts'
import { LEASH_VARIABLE, readReports, REPORT_VARIABLE } from '../report.ts'
import { childOf, inside, type Space } from './space.ts'

export interface Agent {
  /** The node is Ready; rejects when the agent ends before, with its own words. */
  readonly ready: Promise<void>
  readonly ended: Promise<void>
  /** Its process, by the machine's numbers; undefined when it is gone. */
  process(): Promise<number | undefined>
  /** Lets go of the leash and waits: the agent ends in order, containers run on. */
  stop(): Promise<void>
}

const STOP_TIMEOUT_MS = 15_000
const LAST_LINES = 5

export async function startAgent(
  env: Pick<Env, 'clock' | 'fs' | 'net' | 'process'>,
  {
    name,
    space,
    command,
    socket,
    logFile,
  }: {
    readonly name: string
    readonly space: Space
    readonly command: readonly [string, ...string[]]
    /** Where it reports to. */
    readonly socket: string
    readonly logFile: string
  },
): Promise<Agent> {
  let isReady: () => void = () => undefined
  let fail: (error: Error) => void = () => undefined
  const ready = new Promise<void>((resolve, reject) => {
    isReady = resolve
    fail = reject
  })
  ready.catch(() => undefined)
  const leashes = new Set<{ destroy(): void }>()
  let stopping = false
  let child: ChildProcess | undefined
  // nsenter stops itself when its child is stopped, and does not go on with it: it must, to see the child end.
  const wake = (): void => {
    if (child !== undefined) void env.process.run(['sh', '-c', `kill -CONT ${child.pid}`])
  }
  await env.fs.remove(socket)
  const listener = await env.net.listen({ path: socket }, (connection) => {
    if (stopping) return void connection.destroy()
    leashes.add(connection)
    connection.once('close', wake)
    readReports(connection, (report) => {
      if (report.type === 'ready') isReady()
      else if (report.type === 'failed')
        fail(new ClusterError(`Node "${name}" did not start: ${report.message}`, ...report.advice))
    })
  })
  child = env.process.spawn(inside(space, command), {
    detached: true,
    logFile,
    env: { [REPORT_VARIABLE]: socket, [LEASH_VARIABLE]: '1', NODE_EXTRA_CA_CERTS: '' },
  })
  const { pid } = child
  const ended = child.exited.then(async ({ code }) => {
    const lines = (await env.fs.readText(logFile).catch(() => '')).trimEnd().split('\n')
    fail(
      new ClusterError(
        `The agent of node "${name}" ended while it started (exit code ${code ?? 'none'})`,
        ...lines.slice(-LAST_LINES),
        `The whole log: ${logFile}`,
      ),
    )
    await listener.close()
    await env.fs.remove(socket)
  })
  return {
    ready,
    ended,
    process: () => childOf(env, pid),
    async stop() {
      stopping = true
      for (const leash of leashes) leash.destroy()
      const late = new AbortController()
      await Promise.race([
        ended.then(() => late.abort()),
        env.clock.sleep(STOP_TIMEOUT_MS, late.signal).then(
          async () => {
            const agent = await childOf(env, pid)
            await env.process.run([
              'sh',
              '-c',
              `kill -KILL ${agent ?? ''} ${pid} 2>/dev/null; true`,
            ])
          },
          () => undefined,
        ),
      ])
    },
  }
}
