import type { Command } from '../command.ts'
import { askStatus, dataDirOption, pathsFor } from './common.ts'

const MIB = 1024 * 1024

export const status: Command = {
  name: 'status',
  summary: 'Show the components of the running cluster, its addresses and its memory',
  usage: '[flags]',
  options: [
    dataDirOption,
    { name: 'output', short: 'o', value: 'FORMAT', summary: 'json, for programs' },
  ],
  examples: [
    ['navarch status', 'what runs'],
    ['navarch status -o json', 'the same for a program'],
  ],
  async run(context) {
    const { terminal, env } = context
    const { style } = terminal
    const found = await askStatus(context)
    if (context.arguments.values.get('output')?.[0] === 'json') {
      terminal.print(JSON.stringify(found ?? null, null, 2))
      return found === undefined ? 1 : 0
    }
    if (found === undefined) {
      terminal.print(`No cluster runs from ${pathsFor(context).dataDir}. Start one: navarch up`)
      return 1
    }
    const row = (name: string, value: string): void => terminal.print(`${name.padEnd(12)} ${value}`)
    const up = Math.round((env.clock.now().getTime() - Date.parse(found.startedAt)) / 1000)
    row('version', `navarch ${found.version}, Kubernetes ${found.kubernetes}`)
    row('server', `${found.server} (pid ${found.pid}, up ${up} s)`)
    row('kubeconfig', found.kubeconfig)
    row('data', found.dataDir)
    row('runtime', found.runtime)
    row(
      'memory',
      `${Math.round(found.memory.controlPlane / MIB)} MiB control plane, ${Math.round(found.memory.runtime / MIB)} MiB runtime${found.memory.agents > 0 ? `, ${Math.round(found.memory.agents / MIB)} MiB agents` : ''}`,
    )
    row('pods', `${found.pods.running} running of ${found.pods.total}`)
    for (const node of found.nodes) {
      row(
        'node',
        `${node.name} ${node.address} ${node.ready ? style.green('Ready') : style.red('NotReady')}${node.here?.init === undefined ? '' : style.dim(` first process ${node.here.init}`)}`,
      )
    }
    for (const part of found.components) {
      row(
        'component',
        `${part.healthy ? style.green('✓') : style.red('✗')} ${part.name.padEnd(20)} ${style.dim(part.detail)}`,
      )
    }
    return found.components.every((part) => part.healthy) ? 0 : 1
  },
}
