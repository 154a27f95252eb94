import { join, resolve } from 'node:path'
import { hostname } from 'node:os'
import {
  MAX_NODES,
  readReports,
  REPORT_VARIABLE,
  serve,
  type AgentProgram,
  type ClusterStatus,
  type MachineNode,
  type Progress,
  type Report,
  type ServeOptions,
} from '#cluster'
import type { LogLevel } from '#base'
import { UsageError, wholeNumber, type OptionSpec, type ParsedArguments } from '../arguments.ts'
import { CommandError, type Command, type CommandContext } from '../command.ts'
import { editKubeconfig, mergeKubeconfig } from '../kubeconfig.ts'
import { duration, type Step } from '../terminal.ts'
import { foreground } from './foreground.ts'
import { apiOptions, apiSettings } from './api-flags.ts'
import {
  ask,
  askStatus,
  contextName,
  contextOption,
  dataDirOption,
  first,
  pathsFor,
  usersKubeconfig,
  whoRuns,
} from './common.ts'
import { nodeOptions, nodeSettings } from './node-flags.ts'
import { pathsOf } from '../paths.ts'
import { keepFlags, withKeptFlags } from './kept-flags.ts'

const DEFAULT_PORT = 6443

export const podManifestOption: OptionSpec = {
  name: 'pod-manifest-path',
  value: 'DIR',
  summary: "Folder of manifests of pods that this machine's node runs by itself (static pods)",
}

export const podLogsOption: OptionSpec = {
  name: 'pod-logs-dir',
  value: 'DIR',
  summary: "Where the logs of this machine's pods lie (default /var/log/pods)",
}

/** Folders of the node. */
export function nodeFolders(
  parsed: ParsedArguments,
): Pick<ServeOptions, 'podManifestPath' | 'podLogsDir'> {
  const manifests = first(parsed, 'pod-manifest-path')
  const logs = first(parsed, 'pod-logs-dir')
  return {
    ...(manifests === undefined ? {} : { podManifestPath: resolve(manifests) }),
    ...(logs === undefined ? {} : { podLogsDir: resolve(logs) }),
  }
}

export const options: readonly OptionSpec[] = [
  dataDirOption,
  {
    name: 'port',
    value: 'PORT',
    summary: `Port of the API (default ${DEFAULT_PORT}; 0 takes a free one)`,
  },
  { name: 'host', value: 'ADDRESS', summary: 'Address the API listens on (default 0.0.0.0)' },
  {
    name: 'node-name',
    value: 'NAME',
    summary: "Name of this machine's node (default its host name)",
  },
  { name: 'runtime', value: 'KIND', summary: 'containerd, simulated or auto (default auto)' },
  {
    name: 'registry-mirror',
    value: 'URL',
    repeat: true,
    summary: 'Pull images from here: docker.io=http://127.0.0.1:5000',
  },
  { name: 'pod-cidr', value: 'CIDR', summary: 'Addresses of pods (default 10.244.0.0/16)' },
  { name: 'service-cidr', value: 'CIDR', summary: 'Addresses of Services (default 10.96.0.0/12)' },
  { name: 'log-level', value: 'LEVEL', summary: 'debug, info, warn or error (default info)' },
  {
    name: 'log-format',
    value: 'FORMAT',
    summary: 'text, or json: an object a line (default text)',
  },
  {
    name: 'nodes',
    value: 'N',
    summary: 'How many nodes this machine is (default as many as before, at first 1)',
  },
  podManifestOption,
  podLogsOption,
  ...nodeOptions,
  ...apiOptions,
  { name: 'foreground', summary: 'Stay in the foreground and log to standard error; for systemd' },
  { name: 'detach', summary: 'Return when the node is Ready; the cluster runs on (the default)' },
  contextOption,
  { name: 'no-kubeconfig', summary: 'Leave your kubeconfig alone' },
]

export const up: Command = {
  name: 'up',
  summary: 'Start a cluster on this machine, and wait until it is Ready',
  usage: '[flags]',
  options,
  examples: [
    ['navarch up', 'start, as it was started before, or find it running'],
    [
      'navarch up --port 7443 --data-dir /tmp/two --context two',
      'a second cluster beside the first',
    ],
    ['navarch up --nodes 3', 'three nodes on this machine; with more than before, adds some'],
    ['navarch up --foreground', 'for a systemd unit'],
  ],
  async run(given) {
    const { env } = given
    const { dataDir } = pathsFor(given)
    const context = {
      ...given,
      arguments: await withKeptFlags(env, dataDir, given.arguments),
    }
    if (!context.arguments.flags.has('foreground')) return detached(context)
    return foreground(
      context,
      (_, report) => serve(serveOptions(context), env, report),
      () => keepFlags(env, dataDir, context.arguments),
    )
  },
}

/** Every flag checked before anything is started. */
export function serveOptions(context: CommandContext): ServeOptions {
  const parsed = context.arguments
  const paths = pathsFor(context)
  const runtime = first(parsed, 'runtime') ?? 'auto'
  if (runtime !== 'auto' && runtime !== 'containerd' && runtime !== 'simulated') {
    throw new UsageError(
      `--runtime must be containerd, simulated or auto, not ${JSON.stringify(runtime)}`,
    )
  }
  const nodes = wantedNodes(parsed)
  const kubelet = nodeSettings(parsed)
  return {
    dataDir: paths.dataDir,
    runDir: paths.runDir,
    host: first(parsed, 'host') ?? '0.0.0.0',
    port: wholeNumber('port', first(parsed, 'port') ?? String(DEFAULT_PORT), {
      min: 0,
      max: 65_535,
    }),
    nodeName: nodeName(first(parsed, 'node-name') ?? hostname()),
    runtime,
    podCidr: cidr(parsed, 'pod-cidr', '10.244.0.0/16'),
    serviceCidr: cidr(parsed, 'service-cidr', '10.96.0.0/12'),
    clusterDomain: 'cluster.local',
    registryMirrors: parsed.values.get('registry-mirror') ?? [],
    logLevel: logLevel(parsed),
    logFormat: logFormat(parsed),
    api: apiSettings(parsed),
    ...(nodes === undefined ? {} : { nodes }),
    ...nodeFolders(parsed),
    ...(kubelet === undefined ? {} : { kubelet }),
    agent: agentProgram(context),
  }
}

/** How this program starts itself as the agent of another node. */
export function agentProgram({ env }: Pick<CommandContext, 'env'>): AgentProgram {
  const who = whoRuns(env)
  return {
    command: [process.execPath, ...process.execArgv, process.argv[1] ?? ''],
    runDirOf: (dataDir) => pathsOf(dataDir, who).runDir,
  }
}

const wantedNodes = (parsed: ParsedArguments): number | undefined => {
  const text = first(parsed, 'nodes')
  return text === undefined ? undefined : wholeNumber('nodes', text, { min: 1, max: MAX_NODES })
}

export function logLevel(parsed: ParsedArguments): LogLevel {
  const text = first(parsed, 'log-level') ?? 'info'
  const isLevel = (word: string): word is LogLevel =>
    ['debug', 'info', 'warn', 'error'].includes(word)
  if (isLevel(text)) return text
  throw new UsageError(
    `--log-level must be debug, info, warn or error, not ${JSON.stringify(text)}`,
  )
}

export function logFormat(parsed: ParsedArguments): 'text' | 'json' {
  const text = first(parsed, 'log-format') ?? 'text'
  if (text === 'text' || text === 'json') return text
  throw new UsageError(`--log-format must be text or json, not ${JSON.stringify(text)}`)
}

/** A node's name is a DNS subdomain (RFC 1123), in lower case. */
export function nodeName(text: string): string {
  const name = text.toLowerCase()
  if (!/^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(name)) {
    throw new UsageError(
      `--node-name must be a DNS name such as node-1, not ${JSON.stringify(text)}`,
    )
  }
  return name
}

function cidr(parsed: ParsedArguments, name: string, usual: string): string {
  const text = first(parsed, name) ?? usual
  const match = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\/(\d+)$/.exec(text)
  const valid =
    match !== null &&
    match.slice(1, 5).every((part) => Number(part) < 256) &&
    Number(match[5]) >= 8 &&
    Number(match[5]) <= 24
  if (!valid)
    throw new UsageError(
      `--${name} must be an IPv4 range from /8 to /24 such as ${usual}, not ${JSON.stringify(text)}`,
    )
  return text
}

const TITLES: Readonly<Record<Progress['phase'], string>> = {
  store: 'Store',
  certificates: 'Certificates',
  api: 'API server',
  runtime: 'Container runtime',
  controllers: 'Controllers and scheduler',
  network: 'Service network and DNS',
  node: 'Node',
}

/** Starts this same program in the background and shows what it reports until it is Ready. */
async function detached(context: CommandContext): Promise<number> {
  const { env, terminal } = context
  const { style } = terminal
  const requested = serveOptions(context)
  const began = env.clock.monotonic()
  const existing = await askStatus(context)
  if (existing !== undefined) {
    terminal.print(
      `${style.green('✓')} Cluster runs already at ${style.bold(existing.server)} (pid ${existing.pid})`,
    )
    if (requested.nodes !== undefined) await grow(context, requested.nodes, existing)
    await publish(context, existing)
    return 0
  }
  const status = await launch(context, requested)
  if (status === undefined) return 1
  terminal.print(
    `${style.green('✓')} Ready at ${style.bold(status.server)} in ${duration(env.clock.monotonic() - began)}, Kubernetes ${status.kubernetes}`,
  )
  await publish(context, status)
  return 0
}

/** A cluster that runs gets more nodes. */
async function grow(
  context: CommandContext,
  count: number,
  { runtime }: ClusterStatus,
): Promise<void> {
  const before =
    (await ask<readonly MachineNode[]>(context, { command: 'nodes', action: 'list' })) ?? []
  if (before.length + 1 === count) return
  const step = context.terminal.step('More nodes')
  try {
    await ask(context, { command: 'nodes', action: 'grow', count })
  } catch (error) {
    step.fail('not done')
    throw error
  }
  step.done(`${count} nodes are Ready`)
  if (runtime === 'simulated') return
  context.terminal.print(
    '  Images that were built or loaded before are not on the new ones: navarch image build, load',
  )
}

async function launch(
  context: CommandContext,
  { dataDir, runDir }: ServeOptions,
): Promise<ClusterStatus | undefined> {
  const { env, terminal, signal } = context
  const paths = pathsFor(context)
  await makePrivateFolder(context, dataDir)
  await makePrivateFolder(context, runDir)
  await makePrivateFolder(context, join(dataDir, 'log'))
  const reportPath = join(runDir, `up-${env.process.pid}.sock`)
  const steps = new Map<Progress['phase'], Step>()
  let settle: (value: ClusterStatus | CommandError) => void = () => undefined
  const outcome = new Promise<ClusterStatus | CommandError>((resolve) => {
    settle = resolve
  })
  const listener = await env.net.listen({ path: reportPath }, (socket) => {
    readReports(socket, show)
  })
  const show = (report: Report): void => {
    if (report.type === 'ready') settle(report.status)
    else if (report.type === 'failed') settle(new CommandError(report.message, ...report.advice))
    else if (report.progress.state === 'begun')
      steps.set(report.progress.phase, terminal.step(TITLES[report.progress.phase]))
    else steps.get(report.progress.phase)?.done(report.progress.detail)
    if (report.type === 'progress' && report.progress.state === 'done')
      steps.delete(report.progress.phase)
  }
  const [program, script] = [process.execPath, process.argv[1] ?? '']
  const child = env.process.spawn(
    [program, YOUNG_HEAP, ...process.execArgv, script, 'up', ...upFlags(context), '--foreground'],
    {
      detached: true,
      logFile: paths.logFile,
      env: { [REPORT_VARIABLE]: reportPath, NODE_EXTRA_CA_CERTS: '' },
    },
  )
  const onAbort = (): void => {
    // Ctrl-C in the middle: the half-started cluster ends too, in order.
    child.kill('SIGTERM')
  }
  signal.addEventListener('abort', onAbort, { once: true })
  const ended = child.exited.then(async ({ code }) => {
    const log = await env.fs.readText(paths.logFile).catch(() => '')
    return new CommandError(
      signal.aborted
        ? 'Interrupted: nothing was left running'
        : `The cluster ended while it started (exit code ${code ?? 'none'})`,
      ...(signal.aborted
        ? []
        : [...log.trimEnd().split('\n').slice(-5), `The whole log: ${paths.logFile}`]),
    )
  })
  const result = await Promise.race([outcome, ended])
  signal.removeEventListener('abort', onAbort)
  for (const step of steps.values()) step.fail('not finished')
  await listener.close()
  await env.fs.remove(reportPath)
  if (result instanceof CommandError) throw result
  return result
}

/** Megabytes for what is made and soon forgotten: with more the process is larger, with less writing is slower. */
const YOUNG_HEAP = '--max-semi-space-size=16'

/** Other commands start a cluster too (`demo`): passed on is what `up` knows. */
const upFlags = ({ arguments: parsed }: CommandContext): readonly string[] =>
  options.flatMap(({ name }) =>
    (parsed.values.get(name) ?? []).map((value) => `--${name}=${value}`),
  )

async function makePrivateFolder({ env }: CommandContext, path: string): Promise<void> {
  try {
    await env.fs.makeFolder(path)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : ''
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
      throw new CommandError(
        `No permission to write to ${path}`,
        'Run as root, or name another folder: --data-dir DIR',
      )
    }
    if (code === 'ENOSPC')
      throw new CommandError(
        `No space left for ${path}`,
        'Free some space, or name another folder: --data-dir DIR',
      )
    throw error
  }
}

/** Puts the context into the user's kubeconfig and says what to do next. */
async function publish(context: CommandContext, status: ClusterStatus): Promise<void> {
  const { env, terminal } = context
  const { style } = terminal
  const name = contextName(context)
  if (!context.arguments.flags.has('no-kubeconfig')) {
    const target = usersKubeconfig(context)
    const ours = await env.fs.readText(status.kubeconfig)
    await editKubeconfig(env.fs, target, (text) => mergeKubeconfig(text, ours, name))
    terminal.print(`  context ${style.bold(name)} in ${target}`)
  } else {
    terminal.print(`  kubeconfig ${status.kubeconfig}`)
  }
}

/** For `demo`: up, without the closing words. */
export async function ensureUp(
  context: CommandContext,
): Promise<{ status: ClusterStatus; started: boolean }> {
  const existing = await askStatus(context)
  if (existing !== undefined) return { status: existing, started: false }
  const status = await launch(context, serveOptions(context))
  if (status === undefined) throw new CommandError('The cluster did not start')
  return { status, started: true }
}
export { publish as publishKubeconfig }
