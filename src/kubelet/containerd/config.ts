/** The configuration of our containerd, as pure text. */
import { createHash } from 'node:crypto'

export interface ContainerdConfig {
  /** Images and snapshots: kept over reboots. */
  readonly root: string
  /** Sockets, bundles and network namespaces of running containers: worthless after a reboot. */
  readonly state: string
  readonly socket: string
  readonly snapshotter: 'overlayfs' | 'native'
  /** The first is the default. Their own state is kept in `oci` below `state`. */
  readonly runtimes: readonly { readonly name: string; readonly path: string }[]
  readonly sandboxImage: string
  readonly restrictOomScoreAdj: boolean
  readonly cniBinDir: string
  readonly cniConfDir: string
  readonly certsDir: string
}

/** Longest log line before it is written in parts, as Kubernetes nodes usually have it. */
const MAX_LOG_LINE_BYTES = 16 * 1024

/** None of these does anything for pods; some want folders or devices of the host. */
const DISABLED_PLUGINS = [
  'io.containerd.internal.v1.opt',
  'io.containerd.internal.v1.tracing',
  'io.containerd.tracing.processor.v1.otlp',
  'io.containerd.snapshotter.v1.aufs',
  'io.containerd.snapshotter.v1.blockfile',
  'io.containerd.snapshotter.v1.btrfs',
  'io.containerd.snapshotter.v1.devmapper',
  'io.containerd.snapshotter.v1.erofs',
  'io.containerd.snapshotter.v1.zfs',
]

/** Version 2 of the format: containerd 1.x reads it as it is, 2.x converts it. */
export function containerdConfig(config: ContainerdConfig): string {
  const cri = 'plugins."io.containerd.grpc.v1.cri"'
  const tables: readonly (readonly [string, Readonly<Record<string, TomlValue>>])[] = [
    [
      '',
      {
        version: 2,
        root: config.root,
        state: config.state,
        // A lower score than our own would need CAP_SYS_RESOURCE.
        oom_score: 0,
        disabled_plugins: DISABLED_PLUGINS,
      },
    ],
    ['grpc', { address: config.socket, uid: 0, gid: 0 }],
    ['ttrpc', { address: `${config.socket}.ttrpc`, uid: 0, gid: 0 }],
    ['debug', { address: '', level: 'info' }],
    ['metrics', { address: '' }],
    // Its socket has one place on a host, which belongs to the system's containerd.
    ['plugins."io.containerd.nri.v1.nri"', { disable: true }],
    [
      cri,
      {
        sandbox_image: config.sandboxImage,
        restrict_oom_score_adj: config.restrictOomScoreAdj,
        tolerate_missing_hugetlb_controller: true,
        disable_hugetlb_controller: true,
        enable_unprivileged_ports: true,
        enable_unprivileged_icmp: true,
        netns_mounts_under_state_dir: true,
        max_container_log_line_size: MAX_LOG_LINE_BYTES,
        max_concurrent_downloads: 6,
        stream_server_address: '127.0.0.1',
        stream_server_port: '0',
      },
    ],
    [
      `${cri}.cni`,
      {
        bin_dir: config.cniBinDir,
        conf_dir: config.cniConfDir,
        max_conf_num: 1,
        conf_template: '',
      },
    ],
    [`${cri}.registry`, { config_path: config.certsDir }],
    [
      `${cri}.containerd`,
      {
        snapshotter: config.snapshotter,
        default_runtime_name: config.runtimes[0]?.name ?? 'runc',
        // Saves the compressed copy of each layer.
        discard_unpacked_layers: true,
      },
    ],
    ...config.runtimes.flatMap(({ name, path }): [string, Record<string, TomlValue>][] => [
      [`${cri}.containerd.runtimes.${name}`, { runtime_type: 'io.containerd.runc.v2' }],
      [
        `${cri}.containerd.runtimes.${name}.options`,
        { BinaryName: path, Root: `${config.state}/oci`, SystemdCgroup: false },
      ],
    ]),
  ]
  return toToml(tables)
}

/** Changes exactly when containerd must be started anew: another configuration, or another program. */
export const configFingerprint = (config: string, version: string): string =>
  createHash('sha256').update(version).update('\n').update(config).digest('hex')

/** Where docker.io really is; every other registry is at its own name. */
const upstreamOf = (registry: string): string =>
  registry === 'docker.io' ? 'https://registry-1.docker.io' : `https://${registry}`

/**
 * `certs.d/<registry>/hosts.toml`: mirrors are asked in order, then the registry itself.
 * `*` stands for every registry that has no entry of its own.
 */
export function registryHosts(
  mirrors: Readonly<Record<string, readonly string[]>>,
): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(mirrors).map(([registry, urls]) => [
      registry === '*' ? '_default' : registry,
      toToml([
        ['', registry === '*' ? {} : { server: upstreamOf(registry) }],
        ...urls.map((url): [string, Record<string, TomlValue>] => [
          `host.${JSON.stringify(url)}`,
          { capabilities: ['pull', 'resolve'] },
        ]),
      ]),
    ]),
  )
}

type TomlValue = string | number | boolean | readonly string[]

function toToml(
  tables: readonly (readonly [string, Readonly<Record<string, TomlValue>>])[],
): string {
  return tables
    .filter(([, values]) => Object.keys(values).length > 0)
    .map(([name, values]) => {
      const lines = Object.entries(values).map(
        ([key, value]) => `${key} = ${JSON.stringify(value)}\n`,
      )
      return (name === '' ? '' : `[${name}]\n`) + lines.join('')
    })
    .join('\n')
}
