import { join } from 'node:path'
import { forgetRetiredKeys, retiredKeys, rotateServiceAccountKey } from '#cluster'
import { unknown, UsageError } from '../arguments.ts'
import { CommandError, type Command, type CommandContext } from '../command.ts'
import { askStatus, dataDirOption, first, pathsFor } from './common.ts'

const ACTIONS = ['rotate', 'list', 'forget'] as const
const HOUR_MS = 3600_000
const UNITS: Readonly<Record<string, number>> = { h: HOUR_MS, d: 24 * HOUR_MS }
/** As long as the longest tokens that pods are given. */
const DEFAULT_GRACE = '366d'

/** Keys that sign tokens of service accounts are exchanged without anybody noticing. */
export const keys: Command = {
  name: 'keys',
  summary: 'Exchange the key that signs tokens of service accounts',
  usage: 'rotate | list | forget [flags]',
  options: [
    dataDirOption,
    {
      name: 'grace',
      value: 'TIME',
      summary: `rotate: how long tokens of the old key are good: 48h, ${DEFAULT_GRACE} (default); 0 for ever`,
    },
  ],
  examples: [
    ['navarch keys rotate', 'a new key signs from the next start; old tokens hold for a year'],
    ['navarch keys list', 'keys that no longer sign, and until when their tokens are good'],
    ['navarch keys forget', 'from the next start tokens of old keys are refused'],
  ],
  async run(context) {
    const [action] = context.arguments.operands
    if (action === undefined)
      throw new UsageError('Say what to do: navarch keys rotate, list or forget')
    const known = ACTIONS.find((each) => each === action)
    if (known === undefined) throw new UsageError(unknown('action', action, ACTIONS))
    const folder = join(pathsFor(context).dataDir, 'pki')
    if (known === 'rotate') await rotate(context, folder)
    else if (known === 'list') await list(context, folder)
    else await forget(context, folder)
    return 0
  },
}

/** Undefined for ever. */
export function graceOf(text: string): number | undefined {
  if (text === '0') return undefined
  const [, count, unit = ''] = /^(\d+)([hd])$/.exec(text) ?? []
  if (count === undefined)
    throw new UsageError(`--grace must be like 48h, 366d or 0, not ${JSON.stringify(text)}`)
  return Number(count) * (UNITS[unit] ?? HOUR_MS)
}

async function rotate(context: CommandContext, folder: string): Promise<void> {
  const { env, terminal } = context
  const graceMs = graceOf(first(context.arguments, 'grace') ?? DEFAULT_GRACE)
  const rotated = await rotateServiceAccountKey(env, folder, { graceMs })
  if (rotated === undefined)
    throw new CommandError(
      `There is no cluster in ${pathsFor(context).dataDir}`,
      'Start one: navarch server, or navarch up',
    )
  terminal.print(`The new key is ${rotated.keyId}`)
  await tellWhen(context)
}

async function list({ env, terminal }: CommandContext, folder: string): Promise<void> {
  terminal.print(`${'KEY'.padEnd(44)} GOOD UNTIL`)
  for (const { keyId, until } of await retiredKeys(env, folder))
    terminal.print(`${keyId.padEnd(44)} ${until?.slice(0, 19).concat('Z') ?? 'for ever'}`)
}

async function forget(context: CommandContext, folder: string): Promise<void> {
  const count = await forgetRetiredKeys(context.env, folder)
  context.terminal.print(`${count} old ${count === 1 ? 'key is' : 'keys are'} forgotten`)
  if (count > 0) await tellWhen(context)
}

async function tellWhen(context: CommandContext): Promise<void> {
  const runs = (await askStatus(context)) !== undefined
  if (runs) context.terminal.print('It counts from the next start: navarch down, then navarch up')
}
