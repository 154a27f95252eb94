import { CommandError, type Command } from '../command.ts'
import { dataDirOption, pathsFor } from './common.ts'

export const kubeconfig: Command = {
  name: 'kubeconfig',
  summary: 'Print the kubeconfig of the cluster, or its path',
  usage: '[--path] [flags]',
  options: [dataDirOption, { name: 'path', summary: 'Print only where the file is' }],
  examples: [
    ['export KUBECONFIG=$(navarch kubeconfig --path)', 'use it in this shell'],
    ['navarch kubeconfig > my.conf', 'a copy'],
  ],
  async run(context) {
    const { kubeconfig: file, dataDir } = pathsFor(context)
    if (!(await context.env.fs.stat(file))) {
      throw new CommandError(`There is no cluster in ${dataDir} yet`, 'Start one: navarch up')
    }
    context.terminal.print(
      context.arguments.flags.has('path') ? file : (await context.env.fs.readText(file)).trimEnd(),
    )
    return 0
  },
}
