import { unknown, UsageError, wholeNumber } from '../arguments.ts'
import { CommandError, type Command } from '../command.ts'
import { dataDirOption, first, pathsFor } from './common.ts'

/** Components as they name themselves in the log. */
const COMPONENTS = [
  'apiserver',
  'storage',
  'controllers',
  'scheduler',
  'kubelet',
  'proxy',
  'dns',
  'cluster',
  'containerd',
]

export const logs: Command = {
  name: 'logs',
  summary: 'Show what the cluster, or one component of it, has logged',
  usage: '[COMPONENT] [flags]',
  options: [
    dataDirOption,
    { name: 'follow', short: 'f', summary: 'Go on with new lines until Ctrl-C' },
    { name: 'tail', value: 'LINES', summary: 'Only the last lines (default all)' },
  ],
  examples: [
    ['navarch logs', 'everything'],
    ['navarch logs kubelet -f', 'the kubelet, as it goes on'],
  ],
  async run(context) {
    const { env, terminal, signal } = context
    const component = context.arguments.operands[0]
    if (component !== undefined && !COMPONENTS.includes(component)) {
      throw new UsageError(
        `${unknown('component', component, COMPONENTS)} Components: ${COMPONENTS.join(', ')}`,
      )
    }
    const paths = pathsFor(context)
    const file = component === 'containerd' ? `${paths.dataDir}/log/containerd.log` : paths.logFile
    if (!(await env.fs.stat(file)))
      throw new CommandError(`There is no log at ${file} yet`, 'Start a cluster: navarch up')
    const wanted = (line: string): boolean =>
      component === undefined ||
      component === 'containerd' ||
      line.split(/\s{2,}/)[2]?.startsWith(component) === true
    const lines = (text: string): string[] =>
      text.split('\n').filter((line) => line !== '' && wanted(line))
    const tail = first(context.arguments, 'tail')
    const text = await env.fs.readText(file)
    const shown = lines(text)
    for (const line of tail === undefined
      ? shown
      : shown.slice(-wholeNumber('tail', tail, { min: 0, max: 1_000_000 }) || shown.length)) {
      terminal.print(line)
    }
    if (!context.arguments.flags.has('follow')) return 0
    let read = Buffer.byteLength(text)
    await new Promise<void>((resolve) => {
      let busy = false
      const more = async (): Promise<void> => {
        if (busy) return
        busy = true
        const data = await env.fs.read(file)
        const fresh = new TextDecoder().decode(data.subarray(Math.min(read, data.length)))
        const end = fresh.lastIndexOf('\n') + 1
        read = data.length - Buffer.byteLength(fresh.slice(end))
        for (const line of lines(fresh.slice(0, end))) terminal.print(line)
        busy = false
      }
      env.fs.watch(file, () => void more(), signal)
      signal.addEventListener('abort', () => resolve(), { once: true })
    })
    return 0
  },
}
