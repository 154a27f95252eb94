import { formatJson, realEnv, type LogLevel } from '#base'
import { parseArguments, unknown, UsageError } from './arguments.ts'
import { CommandError, type Command } from './command.ts'
import { agent } from './commands/agent.ts'
import { deleteCluster } from './commands/delete.ts'
import { demo } from './commands/demo.ts'
import { down } from './commands/down.ts'
import { image } from './commands/image.ts'
import { kubeconfig } from './commands/kubeconfig.ts'
import { keys } from './commands/keys.ts'
import { logs } from './commands/logs.ts'
import { node } from './commands/node.ts'
import { server } from './commands/server.ts'
import { status } from './commands/status.ts'
import { token } from './commands/token.ts'
import { up } from './commands/up.ts'
import { version } from './commands/version.ts'
import { createTerminal, type Terminal } from './terminal.ts'

const commands: readonly Command[] = [
  up,
  down,
  status,
  deleteCluster,
  kubeconfig,
  logs,
  image,
  node,
  server,
  agent,
  token,
  keys,
  demo,
  version,
]

/** Runs one command line and gives its exit code: 0 done, 1 it failed, 2 it was not understood. */
export async function run(words: readonly string[]): Promise<number> {
  const level = (/--log-level[= ](debug|info|warn|error)/.exec(words.join(' '))?.[1] ??
    'info') as LogLevel
  const isJson = /--log-format[= ]json/.test(words.join(' '))
  const env = realEnv({
    level,
    ...(isJson ? { sink: (record) => process.stderr.write(`${formatJson(record)}\n`) } : {}),
  })
  const { environment } = env.process
  const plain =
    Boolean(environment['NO_COLOR']) ||
    environment['TERM'] === 'dumb' ||
    environment['CI'] === 'true'
  const terminal = createTerminal({
    out: process.stdout,
    err: process.stderr,
    clock: env.clock,
    plain,
  })
  const stop = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => stop.abort(new CommandError('Interrupted')))
  }
  const [name = 'help', ...rest] = words
  // Whoever reads the output may have seen enough (`| head`): what is under way goes on to its end without words.
  process.stdout.on('error', () => {
    if (name === 'logs') stop.abort(new CommandError('Nobody reads on'))
  })
  process.stderr.on('error', () => undefined)
  try {
    if (['help', '--help', '-h'].includes(name)) return help(terminal, rest[0])
    if (name === '--version')
      return await version.run({
        env,
        terminal,
        signal: stop.signal,
        arguments: parseArguments([], []),
      })
    const command = commands.find((c) => c.name === name)
    if (command === undefined)
      throw new UsageError(
        unknown(
          'command',
          name,
          commands.map((c) => c.name),
        ),
      )
    if (rest.includes('--help') || rest.includes('-h')) return help(terminal, name)
    const parsed = parseArguments(rest, command.options)
    return await command.run({ env, terminal, signal: stop.signal, arguments: parsed })
  } catch (error) {
    if (error instanceof UsageError) {
      terminal.error(`navarch: ${error.message}`)
      terminal.error(`See: navarch help${commands.some((c) => c.name === name) ? ` ${name}` : ''}`)
      return 2
    }
    if (error instanceof CommandError) {
      terminal.error(`navarch: ${error.message}`)
      for (const line of error.advice) terminal.error(`  ${line}`)
      return stop.signal.aborted ? 130 : 1
    }
    throw error
  }
}

function help(terminal: Terminal, name: string | undefined): number {
  const { style, print } = terminal
  const command = commands.find((c) => c.name === name)
  if (name !== undefined && command === undefined) {
    throw new UsageError(
      unknown(
        'command',
        name,
        commands.map((c) => c.name),
      ),
    )
  }
  if (command === undefined) {
    print(`${style.bold('navarch')}: Kubernetes in one program\n`)
    print('Usage: navarch COMMAND [flags]\n')
    for (const c of commands) if (c.hidden !== true) print(`  ${c.name.padEnd(12)} ${c.summary}`)
    print(`\nStart with: ${style.bold('navarch up')}, then ${style.bold('kubectl get nodes')}`)
    print('More on a command: navarch help COMMAND')
    return 0
  }
  print(`${command.summary}\n\nUsage: navarch ${command.name} ${command.usage}`)
  if (command.options.length > 0) print('\nFlags:')
  for (const option of command.options) {
    const flag = `--${option.name}${option.value === undefined ? '' : ` ${option.value}`}`
    print(
      `  ${(option.short === undefined ? `    ${flag}` : `-${option.short}, ${flag}`).padEnd(30)} ${option.summary}`,
    )
  }
  if (command.examples.length > 0) print('\nExamples:')
  for (const [line, what] of command.examples)
    print(`  ${line}${what === '' ? '' : style.dim(`   # ${what}`)}`)
  return 0
}
