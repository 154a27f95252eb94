import { hostname } from 'node:os'
import { joinNode, type JoinOptions } from '#cluster'
import { UsageError, wholeNumber } from '../arguments.ts'
import type { Command, CommandContext } from '../command.ts'
import { dataDirOption, first, pathsFor } from './common.ts'
import { nodeOptions, nodeSettings } from './node-flags.ts'
import { mustNotRun } from './server.ts'
import { foreground } from './foreground.ts'
import {
  logFormat,
  logLevel,
  nodeName,
  options,
  nodeFolders,
  podLogsOption,
  podManifestOption,
} from './up.ts'

const SHARED: readonly string[] = [
  'node-name',
  'runtime',
  'registry-mirror',
  'log-level',
  'log-format',
]

export const agent: Command = {
  name: 'agent',
  summary: 'Make this machine a node of a cluster that runs elsewhere, in the foreground',
  usage: '--server URL [--token TOKEN --ca-hash HASH] [flags]',
  options: [
    dataDirOption,
    { name: 'server', value: 'URL', summary: 'The API server: https://10.0.0.1:6443' },
    {
      name: 'token',
      value: 'TOKEN',
      summary: 'From `navarch token create`; needed the first time ($NAVARCH_TOKEN works too)',
    },
    {
      name: 'ca-hash',
      value: 'HASH',
      summary: "sha256:… of the cluster's authority; needed the first time",
    },
    {
      name: 'node-ip',
      value: 'ADDRESS',
      summary: 'Where other machines reach this one (default its first address)',
    },
    {
      name: 'kubelet-port',
      value: 'PORT',
      summary: 'Port of the kubelet (default 10250, or a free one where that is taken)',
    },
    podManifestOption,
    podLogsOption,
    ...nodeOptions,
    ...options.filter(({ name }) => SHARED.includes(name)),
  ],
  examples: [
    [
      'navarch agent --server https://10.0.0.1:6443 --token abcdef.0123456789abcdef --ca-hash sha256:…',
      'join; `navarch token create` prints this line whole',
    ],
    ['navarch agent --server https://10.0.0.1:6443', 'start again: it has joined before'],
  ],
  async run(context) {
    const { terminal } = context
    const given = joinOptions(context)
    await mustNotRun(context)
    return foreground(
      context,
      (env, report, signal) => joinNode(given, env, report, signal),
      () => terminal.print(`Node ${given.nodeName} is Ready in the cluster at ${given.server}`),
    )
  },
}

/** Every flag checked before anything is started. */
function joinOptions(context: CommandContext): JoinOptions {
  const parsed = context.arguments
  const { dataDir, runDir } = pathsFor(context)
  const url = first(parsed, 'server')
  if (url === undefined)
    throw new UsageError('Say which cluster to join: --server https://ADDRESS:PORT')
  if (!/^https:\/\/[^/\s]+$/.test(url.replace(/\/$/, '')))
    throw new UsageError(`--server must be like https://10.0.0.1:6443, not ${JSON.stringify(url)}`)
  const token = first(parsed, 'token') ?? context.env.process.environment['NAVARCH_TOKEN']
  if (token !== undefined && !/^[a-z0-9]{6}\.[a-z0-9]{16}$/.test(token))
    throw new UsageError('--token must be like abcdef.0123456789abcdef')
  const caHash = first(parsed, 'ca-hash')
  if (caHash !== undefined && !/^sha256:[0-9a-f]{64}$/i.test(caHash))
    throw new UsageError('--ca-hash must be sha256: and 64 hexadecimal digits')
  const nodeIp = first(parsed, 'node-ip')
  if (nodeIp !== undefined && !/^\d{1,3}(\.\d{1,3}){3}$/.test(nodeIp))
    throw new UsageError(`--node-ip must be an IPv4 address, not ${JSON.stringify(nodeIp)}`)
  const runtime = first(parsed, 'runtime') ?? 'auto'
  if (runtime !== 'auto' && runtime !== 'containerd' && runtime !== 'simulated')
    throw new UsageError(
      `--runtime must be containerd, simulated or auto, not ${JSON.stringify(runtime)}`,
    )
  const kubelet = nodeSettings(parsed)
  const port = first(parsed, 'kubelet-port')
  const kubeletPort =
    port === undefined ? undefined : wholeNumber('kubelet-port', port, { min: 0, max: 65_535 })
  return {
    dataDir,
    runDir,
    nodeName: nodeName(first(parsed, 'node-name') ?? hostname()),
    runtime,
    registryMirrors: parsed.values.get('registry-mirror') ?? [],
    logLevel: logLevel(parsed),
    logFormat: logFormat(parsed),
    server: url.replace(/\/$/, ''),
    ...(kubeletPort === undefined ? {} : { kubeletPort }),
    ...(token === undefined ? {} : { token }),
    ...(caHash === undefined ? {} : { caHash }),
    ...(nodeIp === undefined ? {} : { nodeIp }),
    ...nodeFolders(parsed),
    ...(kubelet === undefined ? {} : { kubelet }),
  }
}
