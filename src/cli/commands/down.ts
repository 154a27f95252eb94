import { ask, askStatus, dataDirOption, pathsFor } from './common.ts'
import type { Command } from '../command.ts'

export const down: Command = {
  name: 'down',
  summary:
    'Stop the cluster; its data stays, and its containers run on unless --containers is given',
  usage: '[flags]',
  options: [
    dataDirOption,
    { name: 'containers', summary: 'Stop the containers and their runtime as well' },
  ],
  examples: [
    ['navarch down', 'stop the control plane; the next `up` finds the containers again'],
    ['navarch down --containers', 'stop everything; the next `up` starts the pods anew'],
  ],
  async run(context) {
    const { terminal } = context
    const status = await askStatus(context)
    if (status === undefined) {
      terminal.print(`No cluster runs from ${pathsFor(context).dataDir}; nothing to stop`)
      return 0
    }
    const containers = context.arguments.flags.has('containers')
    const step = terminal.step('Stopping the cluster')
    await ask(context, { command: 'stop', containers })
    step.done()
    const left = status.pods.running
    if (!containers && left > 0 && status.runtime !== 'simulated') {
      terminal.print(
        `  ${left} ${left === 1 ? 'pod runs' : 'pods run'} on. Stop those too: navarch down --containers`,
      )
    }
    return 0
  },
}
