import type { MachineNode } from '#cluster'
import { UsageError } from '../arguments.ts'
import { type Command, type CommandContext } from '../command.ts'
import { ask, dataDirOption, mustRun } from './common.ts'

const ACTIONS = ['list', 'stop', 'start', 'remove'] as const
const SAYS = {
  stop: 'Switching off',
  start: 'Switching on',
  remove: 'Removing',
} as const

/** What there is to do with the further nodes of a machine that is several. */
export const node: Command = {
  name: 'node',
  summary: 'The further nodes of this machine (up --nodes N): list, stop, start, remove',
  usage: 'list | stop NAME | start NAME | remove NAME [flags]',
  options: [dataDirOption],
  examples: [
    ['navarch node list', 'the nodes that this machine is beside its first'],
    ['navarch node stop node-2', 'pull its plug: watch it become NotReady, and its pods move'],
    ['navarch node start node-2', 'switch it on again'],
    ['navarch node remove node-3', 'take it away with all that runs on it'],
  ],
  async run(context) {
    const { terminal } = context
    const [action = 'list', name, more] = context.arguments.operands
    if (!isAction(action))
      throw new UsageError(`Say list, stop NAME, start NAME or remove NAME, not ${action}`)
    if (more !== undefined) throw new UsageError(`One node at a time: ${more} is one too many`)
    await mustRun(context)
    if (action === 'list') return list(context)
    if (name === undefined) throw new UsageError(`Say which node: navarch node ${action} NAME`)
    const step = terminal.step(`${SAYS[action]} ${name}`)
    try {
      await ask(context, { command: 'nodes', action, name })
    } catch (error) {
      step.fail('not done')
      throw error
    }
    step.done()
    return 0
  },
}

const isAction = (word: string): word is (typeof ACTIONS)[number] =>
  ACTIONS.some((action) => action === word)

async function list(context: CommandContext): Promise<number> {
  const { terminal } = context
  const nodes =
    (await ask<readonly MachineNode[]>(context, { command: 'nodes', action: 'list' })) ?? []
  if (nodes.length === 0) terminal.print('This machine is one node. For more: navarch up --nodes 3')
  for (const { name, address, running, init } of nodes)
    terminal.print(
      `${name.padEnd(20)} ${address.padEnd(16)} ${running ? 'on' : 'off'}${init === undefined ? '' : `  first process ${init}`}`,
    )
  return 0
}
