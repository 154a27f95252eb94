import { leaveCluster, purge } from '#cluster'
import { CommandError, type Command } from '../command.ts'
import { editKubeconfig, removeFromKubeconfig } from '../kubeconfig.ts'
import {
  ask,
  askStatus,
  contextName,
  contextOption,
  dataDirOption,
  pathsFor,
  usersKubeconfig,
} from './common.ts'
import { agentProgram } from './up.ts'

export const deleteCluster: Command = {
  name: 'delete',
  summary: 'Stop the cluster and remove all it has: objects, volumes, images, containers',
  usage: '--yes [flags]',
  options: [
    dataDirOption,
    contextOption,
    { name: 'yes', short: 'y', summary: 'Yes, remove it; there is no way back' },
  ],
  examples: [['navarch delete --yes', 'leave nothing behind']],
  async run(context) {
    const { env, terminal } = context
    const paths = pathsFor(context)
    if (!(await env.fs.stat(paths.dataDir))) {
      terminal.print(`There is no cluster in ${paths.dataDir}; nothing to remove`)
      return 0
    }
    if (!context.arguments.flags.has('yes')) {
      throw new CommandError(
        `This removes the cluster in ${paths.dataDir} for ever`,
        'If you mean it: navarch delete --yes',
      )
    }
    if (!(await env.fs.stat(`${paths.dataDir}/version.json`))) {
      throw new CommandError(
        `${paths.dataDir} is not a folder of Navarch (it has no version.json), so it is left alone`,
      )
    }
    const step = terminal.step('Removing the cluster')
    if (await askStatus(context)) await ask(context, { command: 'stop', containers: true })
    const left = await leaveCluster(env, paths.dataDir)
    await purge({ ...paths, agent: agentProgram(context) }, env)
    const config = usersKubeconfig(context)
    if (await env.fs.stat(config))
      await editKubeconfig(env.fs, config, (text) =>
        removeFromKubeconfig(text, contextName(context)),
      )
    step.done()
    if (left.kind === 'left')
      terminal.print(
        `  Node ${left.nodeName} has left its cluster${left.pods === 0 ? '' : `; what owns its ${left.pods} ${left.pods === 1 ? 'pod' : 'pods'} starts others elsewhere`}`,
      )
    if (left.kind === 'stays') {
      terminal.print(`  Its Node stays in the cluster at ${left.membership.server}: ${left.reason}`)
      terminal.print(`  Remove it there: kubectl delete node ${left.membership.nodeName}`)
    }
    return 0
  },
}
