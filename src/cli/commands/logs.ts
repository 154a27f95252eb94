import { unknown, UsageError, wholeNumber } from '../arguments.ts'
import { CommandError, type Command } from '../command.ts'
import { dataDirOption, first, pathsFor } from './common.ts'

/** Components, and the names they have in the log. containerd has a log of its own. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  apiserver: ['apiserver', 'authentication', 'authorization', 'tracing'],
  storage: ['storage'],
  controllers: ['controllers', 'garbage-collector', 'namespace', 'resource-quota', 'informer'],
  scheduler: ['scheduler'],
  kubelet: ['kubelet'],
  proxy: ['service-proxy'],
  network: ['network'],
  dns: ['dns'],
  cluster: ['cluster', 'navarch', 'leader-election'],
  containerd: [],
}
const COMPONENTS = Object.keys(NAMES)

/** Whether a line of the log is of the component; without one, every line is wanted. */
export const isOf = (line: string, component: string | undefined): boolean =>
  component === undefined ||
  component === 'containerd' ||
  (NAMES[component] ?? []).includes(componentOf(line))

/** Of a line of text, or of JSON. */
const componentOf = (line: string): string =>
  (line.startsWith('{') ? /"component":"([^"]*)"/.exec(line)?.[1] : line.split(/\s{2,}/)[2]) ?? ''

export const logs: Command = {
  name: 'logs',
  summary: 'Show what the cluster, or one component of it, has logged',
  usage: '[COMPONENT] [flags]',
  options: [
    dataDirOption,
    {
      name: 'node',
      value: 'NAME',
      summary: 'Of a further node of this machine (up --nodes N)',
    },
    { name: 'follow', short: 'f', summary: 'Go on with new lines until Ctrl-C' },
    { name: 'tail', value: 'LINES', summary: 'Only the last lines (default all)' },
  ],
  examples: [
    ['navarch logs', 'everything'],
    ['navarch logs kubelet -f', 'the kubelet, as it goes on'],
    ['navarch logs --node node-2', 'the agent of another node on this machine'],
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
    const node = first(context.arguments, 'node')
    if (node !== undefined && !/^[a-z0-9][-a-z0-9.]*$/.test(node))
      throw new UsageError(`--node must be the name of a node, not ${JSON.stringify(node)}`)
    const folder = node === undefined ? paths.dataDir : `${paths.dataDir}/nodes/${node}`
    if (node !== undefined && !(await env.fs.stat(folder)))
      throw new CommandError(
        `This machine has no node "${node}" beside its first one`,
        'Which there are: navarch node list',
      )
    const file = `${folder}/log/${component === 'containerd' ? 'containerd' : 'navarch'}.log`
    if (!(await env.fs.stat(file)))
      throw new CommandError(`There is no log at ${file} yet`, 'Start a cluster: navarch up')
    const wanted = (line: string): boolean => isOf(line, component)
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
