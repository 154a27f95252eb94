import { configMaps, secrets, type Secret } from '#api'
import { createClient, httpTransport, parseKubeconfig, type Client } from '#client'
import { authorityHash } from '#cluster'
import { isStatus } from '#machinery'
import { unknown, UsageError } from '../arguments.ts'
import { CommandError, type Command, type CommandContext } from '../command.ts'
import { dataDirOption, first, pathsFor } from './common.ts'

const ACTIONS = ['create', 'list', 'delete'] as const
const NAMESPACE = 'kube-system'
const TYPE = 'bootstrap.kubernetes.io/token'
const PREFIX = 'bootstrap-token-'
const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }

export const token: Command = {
  name: 'token',
  summary: 'Create, list or delete the tokens with which machines join as nodes',
  usage: 'create | list | delete ID [flags]',
  options: [
    dataDirOption,
    {
      name: 'ttl',
      value: 'TIME',
      summary: 'create: how long it holds: 30m, 24h (default), 7d; 0 for ever',
    },
    { name: 'description', value: 'TEXT', summary: 'create: what it is for' },
    { name: 'quiet', short: 'q', summary: 'create: print the token alone' },
  ],
  examples: [
    ['navarch token create', 'prints the command to type on the new node'],
    ['navarch token create --ttl 1h --description "rack 2"', ''],
    ['navarch token list', 'what there is, and until when'],
    ['navarch token delete abcdef', 'nobody joins with it any more; who has joined stays'],
  ],
  async run(context) {
    const [action, ...operands] = context.arguments.operands
    if (action === undefined)
      throw new UsageError('Say what to do: navarch token create, list or delete')
    const known = ACTIONS.find((each) => each === action)
    if (known === undefined) throw new UsageError(unknown('action', action, ACTIONS))
    const seconds = ttlSeconds(first(context.arguments, 'ttl') ?? '24h')
    if (known === 'delete' && operands.length === 0)
      throw new UsageError('token delete needs an ID: navarch token delete abcdef')
    const { client, close } = await connect(context)
    try {
      if (known === 'create') await create(context, client, seconds)
      else if (known === 'list') await list(context, client)
      else for (const id of operands) await remove(context, client, id)
      return 0
    } finally {
      close()
    }
  },
}

function ttlSeconds(text: string): number {
  const [, count, unit = 's'] = /^(\d+)([smhd])?$/.exec(text) ?? []
  if (count === undefined)
    throw new UsageError(`--ttl must be like 30m, 24h or 7d, not ${JSON.stringify(text)}`)
  return Number(count) * (UNITS[unit] ?? 1)
}

async function connect(
  context: CommandContext,
): Promise<{ readonly client: Client; readonly close: () => void }> {
  const { env } = context
  const { kubeconfig, dataDir } = pathsFor(context)
  if (!(await env.fs.stat(kubeconfig)))
    throw new CommandError(
      `There is no cluster in ${dataDir}`,
      'Start one: navarch server, or navarch up',
    )
  const connection = parseKubeconfig(await env.fs.readText(kubeconfig))
  const transport = httpTransport(connection)
  try {
    await transport.request({ method: 'GET', path: '/readyz', signal: context.signal })
  } catch {
    transport.close()
    throw new CommandError(
      `The API server at ${connection.server} does not answer`,
      'Is the cluster running? navarch status',
    )
  }
  return { client: createClient(transport), close: () => transport.close() }
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789'
/** Each byte that would favour the first letters is thrown away. */
function randomText({ env }: CommandContext, length: number): string {
  let text = ''
  while (text.length < length)
    for (const byte of env.random.bytes(length))
      if (byte < 252 && text.length < length) text += LETTERS[byte % 36] ?? ''
  return text
}

async function create(context: CommandContext, client: Client, seconds: number): Promise<void> {
  const { env, terminal } = context
  const [id, secret] = [randomText(context, 6), randomText(context, 16)]
  const description = first(context.arguments, 'description')
  const end = new Date(env.clock.now().getTime() + seconds * 1000)
  await client.create(secrets, {
    metadata: { name: `${PREFIX}${id}`, namespace: NAMESPACE },
    type: TYPE,
    stringData: {
      'token-id': id,
      'token-secret': secret,
      'usage-bootstrap-authentication': 'true',
      'auth-extra-groups': 'system:bootstrappers:navarch:default-node-token',
      ...(seconds === 0 ? {} : { expiration: `${end.toISOString().slice(0, 19)}Z` }),
      ...(description === undefined ? {} : { description }),
    },
  })
  if (context.arguments.flags.has('quiet')) {
    terminal.print(`${id}.${secret}`)
    return
  }
  const { data = {} } = await client.get(configMaps, {
    namespace: 'kube-public',
    name: 'cluster-info',
  })
  terminal.print(
    `navarch agent --server ${data['server'] ?? ''} --token ${id}.${secret} --ca-hash ${authorityHash(data['authority'] ?? '')}`,
  )
}

async function list({ env, terminal }: CommandContext, client: Client): Promise<void> {
  const { items } = await client.list(secrets, {
    namespace: NAMESPACE,
    fieldSelector: `type=${TYPE}`,
  })
  const row = (...[id = '', end = '', text = '']: readonly string[]): void =>
    terminal.print(`${id.padEnd(8)} ${end.padEnd(22)} ${text}`.trimEnd())
  row('ID', 'EXPIRES', 'DESCRIPTION')
  for (const item of items) {
    const end = value(item, 'expiration')
    const past = end !== '' && Date.parse(end) <= env.clock.now().getTime()
    row(value(item, 'token-id'), past ? 'expired' : end || 'never', value(item, 'description'))
  }
}

const value = ({ data }: Secret, key: string): string =>
  Buffer.from(data?.[key] ?? '', 'base64').toString('utf8')

async function remove({ terminal }: CommandContext, client: Client, text: string): Promise<void> {
  const id = text.split('.')[0] ?? ''
  try {
    await client.delete(secrets, { namespace: NAMESPACE, name: `${PREFIX}${id}` })
  } catch (error) {
    if (!isStatus(error, 'NotFound')) throw error
    throw new CommandError(`There is no token ${id}`, 'See what there is: navarch token list')
  }
  terminal.print(`Deleted token ${id}`)
}
