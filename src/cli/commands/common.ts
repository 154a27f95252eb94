/** What several commands share: flags, the paths of the cluster that is meant, and asking it. */
import type { Env } from '#base'
import type { ClusterStatus } from '#cluster'
import type { OptionSpec, ParsedArguments } from '../arguments.ts'
import { CommandError, type CommandContext } from '../command.ts'
import { callControl, type ControlRequest } from '../control.ts'
import { defaultDataDir, pathsOf, userKubeconfig, type Paths } from '../paths.ts'

export const dataDirOption: OptionSpec = {
  name: 'data-dir',
  value: 'DIR',
  summary:
    'Folder of the cluster (default /var/lib/navarch as root, ~/.local/share/navarch otherwise)',
}
export const contextOption: OptionSpec = {
  name: 'context',
  value: 'NAME',
  summary: 'Name in your kubeconfig (default navarch)',
}

const uid = (): number => process.getuid?.() ?? 1000

export const first = (parsed: ParsedArguments, name: string): string | undefined =>
  parsed.values.get(name)?.[0]

export const whoRuns = ({ process: { environment } }: Pick<Env, 'process'>) => ({
  uid: uid(),
  environment,
})

export function pathsFor({ env, arguments: parsed }: CommandContext): Paths {
  const who = whoRuns(env)
  return pathsOf(first(parsed, 'data-dir') ?? defaultDataDir(who), who)
}

export const contextName = ({ arguments: parsed }: CommandContext): string =>
  first(parsed, 'context') ?? 'navarch'

export const usersKubeconfig = ({ env }: CommandContext): string =>
  userKubeconfig(env.process.environment)

/** The running cluster's answer; undefined when none runs. */
export async function ask<T>(
  context: CommandContext,
  request: ControlRequest,
): Promise<T | undefined> {
  const reply = await callControl(
    context.env,
    pathsFor(context).controlSocket,
    request,
    context.signal,
  )
  if (reply === undefined) return undefined
  if (!reply.ok) throw new CommandError(reply.message, ...(reply.advice ?? []))
  return reply.value as T
}

export const askStatus = (context: CommandContext): Promise<ClusterStatus | undefined> =>
  ask<ClusterStatus>(context, { command: 'status' })

export async function mustRun(context: CommandContext): Promise<ClusterStatus> {
  const status = await askStatus(context)
  if (status === undefined) {
    throw new CommandError(
      `No cluster runs from ${pathsFor(context).dataDir}`,
      'Start one: navarch up',
    )
  }
  return status
}
