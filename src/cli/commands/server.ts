import { ClusterError, serve } from '#cluster'
import { reachableAddress } from '../arguments.ts'
import { CommandError, type Command } from '../command.ts'
import { askStatus, first, pathsFor } from './common.ts'
import { foreground } from './foreground.ts'
import { options, serveOptions } from './up.ts'

const LEFT_OUT: readonly string[] = [
  'foreground',
  'detach',
  'context',
  'no-kubeconfig',
  'runtime',
  'registry-mirror',
  'node-name',
  'nodes',
]

export const server: Command = {
  name: 'server',
  summary: 'Run the control plane alone, in the foreground; other machines join it as nodes',
  usage: '[flags]',
  options: [
    ...options.filter(({ name }) => !LEFT_OUT.includes(name)),
    {
      name: 'advertise-address',
      value: 'ADDRESS',
      summary: 'Where nodes reach this machine (default its first address)',
    },
  ],
  examples: [
    ['navarch server', 'the control plane; then `navarch token create` says how nodes join'],
    ['navarch server --advertise-address 10.0.0.1', 'on a machine with several addresses'],
  ],
  async run(context) {
    const { terminal } = context
    await mustNotRun(context)
    const advertised = first(context.arguments, 'advertise-address')
    const nodeIp =
      advertised === undefined ? undefined : reachableAddress('advertise-address', advertised)
    const given = serveOptions(context)
    return foreground(
      context,
      (env, report) =>
        serve(
          {
            ...given,
            withNode: false,
            ...(nodeIp === undefined ? {} : { nodeIp }),
          },
          env,
          report,
        ),
      (running) => {
        terminal.print(`Control plane ready at ${running.server}`)
        terminal.print(`  kubeconfig ${running.kubeconfig}`)
        terminal.print('  How a machine joins as a node: navarch token create')
      },
    )
  },
}

/** Two programs on one folder would be in each other's way. */
export async function mustNotRun(context: Parameters<Command['run']>[0]): Promise<void> {
  let status
  try {
    status = await askStatus(context)
  } catch (error) {
    if (!(error instanceof CommandError || error instanceof ClusterError)) throw error
    return
  }
  if (status !== undefined)
    throw new CommandError(
      `Navarch runs already from ${pathsFor(context).dataDir} (pid ${status.pid})`,
      'Stop it first: navarch down. Or use another folder: --data-dir DIR',
    )
}
