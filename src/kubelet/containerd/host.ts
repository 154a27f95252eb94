/** What the host offers to containers, read from /proc and /sys, and what it lacks. */
import type { Env } from '#base'

type Host = Pick<Env, 'fs' | 'process'>

/** Something the host lacks, in words a user can act on. */
export interface HostProblem {
  /** A stable name, for tests and machines: `root`, `tool/nft`, `kernel/bridge`. */
  readonly id: string
  /** A warning leaves the node usable. */
  readonly severity: 'error' | 'warning'
  readonly message: string
  /** What to do about it: a command where there is one. */
  readonly fix: string
  /** The Debian package that brings it. */
  readonly debianPackage?: string
}

interface Tool {
  readonly names: readonly string[]
  readonly purpose: string
  readonly debianPackage: string
  readonly optional?: true
}

const TOOLS: readonly Tool[] = [
  { names: ['containerd'], purpose: 'runs the containers', debianPackage: 'containerd' },
  { names: ['ctr'], purpose: 'imports images', debianPackage: 'containerd' },
  { names: ['crun', 'runc'], purpose: 'starts a container', debianPackage: 'runc' },
  { names: ['nft'], purpose: 'programs the service network', debianPackage: 'nftables' },
  { names: ['ip'], purpose: 'sets up network interfaces', debianPackage: 'iproute2' },
  { names: ['mount'], purpose: 'mounts volumes', debianPackage: 'mount' },
  { names: ['umount'], purpose: 'unmounts volumes', debianPackage: 'mount' },
  { names: ['unshare'], purpose: 'checks the kernel', debianPackage: 'util-linux' },
  {
    names: ['conntrack'],
    purpose: 'forgets UDP flows to endpoints that are gone',
    debianPackage: 'conntrack',
    optional: true,
  },
]

const CNI_PLUGINS = ['bridge', 'host-local', 'loopback'] as const
const CNI_BIN_DIRS = ['/usr/lib/cni', '/opt/cni/bin', '/usr/libexec/cni'] as const

/** Folders in which tools are looked for: the user's PATH, and the ones that a plain user's PATH lacks. */
export function toolPath({ environment }: Env['process']): string {
  const own = (environment['PATH'] ?? '').split(':').filter((folder) => folder.startsWith('/'))
  const usual = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']
  return [...new Set([...own, ...usual])].join(':')
}

/** The path of the first tool of these names that the host has. */
export async function findTool(
  { fs, process }: Host,
  ...names: readonly string[]
): Promise<string | undefined> {
  const folders = toolPath(process).split(':')
  for (const name of names) {
    for (const folder of folders) {
      const path = `${folder}/${name}`
      const stat = await fs.stat(path)
      // What a link leads to is seen when it is started.
      if (stat?.kind === 'symlink' || (stat?.kind === 'file' && (stat.mode & 0o111) !== 0))
        return path
    }
  }
  return undefined
}

/** The folder that has the CNI plugins we use. */
export async function findCniPlugins({ fs }: Pick<Env, 'fs'>): Promise<string | undefined> {
  for (const folder of CNI_BIN_DIRS) {
    const present = await Promise.all(CNI_PLUGINS.map((name) => fs.stat(`${folder}/${name}`)))
    if (present.every((stat) => stat !== undefined)) return folder
  }
  return undefined
}

/** Everything that keeps this host from running containers, or makes it run them worse. Empty: all is well. */
export async function checkHost(env: Host): Promise<readonly HostProblem[]> {
  const status = await readOptional(env, '/proc/self/status')
  if (status === undefined) {
    return [
      {
        id: 'linux',
        severity: 'error',
        message: 'Containers need a Linux kernel, and this system has no /proc',
        fix: 'Run Navarch on Linux (a virtual machine will do); elsewhere it runs with a simulated node',
      },
    ]
  }
  const tools = await Promise.all(TOOLS.map((tool) => missingTool(env, tool)))
  const problems = [
    ...(await missingCni(env)),
    ...tools.flat(),
    ...missingCgroups(await readCgroupLayout(env)),
  ]
  if (!/^Uid:\s+\d+\s+0\s/m.test(status)) {
    const root: HostProblem = {
      id: 'root',
      severity: 'error',
      message: 'Containers, networks and mounts need root, and this program runs as another user',
      fix: 'Run it again with sudo',
    }
    // The kernel cannot be asked without root.
    return [root, ...problems]
  }
  return [...problems, ...(await missingKernelFeatures(env))]
}

async function missingTool(env: Host, tool: Tool): Promise<HostProblem[]> {
  if ((await findTool(env, ...tool.names)) !== undefined) return []
  const name = tool.names.join(' or ')
  return [
    {
      id: `tool/${tool.names[0]}`,
      severity: tool.optional ? 'warning' : 'error',
      message: `${name} is not installed: it ${tool.purpose}`,
      fix: `apt-get install -y ${tool.debianPackage}`,
      debianPackage: tool.debianPackage,
    },
  ]
}

async function missingCni(env: Host): Promise<HostProblem[]> {
  if ((await findCniPlugins(env)) !== undefined) return []
  return [
    {
      id: 'cni',
      severity: 'error',
      message: `The CNI plugins ${CNI_PLUGINS.join(', ')} are in none of ${CNI_BIN_DIRS.join(', ')}`,
      fix: 'apt-get install -y containernetworking-plugins',
      debianPackage: 'containernetworking-plugins',
    },
  ]
}

/** One probe a line, in a network of its own, so that nothing of the host changes. A failing one prints its name. */
const KERNEL_PROBES: readonly {
  readonly name: string
  readonly module: string
  readonly probe: string
  readonly purpose: string
}[] = [
  {
    name: 'overlay',
    module: 'overlay',
    probe: 'grep -qw overlay /proc/filesystems',
    purpose: 'containers share image layers by it',
  },
  {
    name: 'bridge',
    module: 'bridge',
    probe: 'ip link add nvtb type bridge',
    purpose: 'pods of a node are connected by it',
  },
  {
    name: 'veth',
    module: 'veth',
    probe: 'ip link add nvt0 type veth peer name nvt1',
    purpose: 'each pod is plugged in by one',
  },
  {
    name: 'nf_tables',
    module: 'nf_tables',
    probe: 'nft add table ip nvt',
    purpose: 'Services are made of it',
  },
  {
    name: 'nat',
    module: 'nft_chain_nat',
    probe: "nft 'add chain ip nvt c { type nat hook prerouting priority -100; }'",
    purpose: 'Services are made of it',
  },
  {
    name: 'br_netfilter',
    module: 'br_netfilter',
    probe: 'test -e /proc/sys/net/bridge/bridge-nf-call-iptables',
    purpose: 'a pod reaches a Service whose pod is on the same node by it',
  },
]

async function missingKernelFeatures({ process }: Host): Promise<HostProblem[]> {
  const script = [
    `for m in ${KERNEL_PROBES.map(({ module }) => module).join(' ')}; do modprobe -q $m; done`,
    ...KERNEL_PROBES.map(({ name, probe }) => `${probe} || echo ${name}`),
  ].join('\n')
  const { stdout, code } = await process.run(
    ['unshare', '--net', 'sh', '-c', `{ ${script}\n} 2>/dev/null`],
    { env: { PATH: toolPath(process) } },
  )
  if (code === undefined || (code !== 0 && stdout === '')) {
    return [
      {
        id: 'kernel/namespaces',
        severity: 'error',
        message: 'The kernel does not let this program make a network namespace',
        fix: 'Run it on a machine (or a privileged container) with CAP_SYS_ADMIN',
      },
    ]
  }
  const failed = new Set(stdout.split('\n'))
  return KERNEL_PROBES.filter(({ name }) => failed.has(name)).map(({ name, module, purpose }) => ({
    id: `kernel/${name}`,
    severity: 'error',
    message: `The kernel has no ${name}: ${purpose}`,
    fix: `modprobe ${module}, or boot a kernel that has it, as every stock Debian kernel does`,
  }))
}

export type CgroupLayout =
  /** Everything on one v2 hierarchy. */
  | { readonly kind: 'v2'; readonly controllers: readonly string[] }
  /** v1 hierarchies, with or without an empty v2 beside them. `unmounted` are enabled in the kernel and mounted nowhere. */
  | {
      readonly kind: 'v1'
      readonly controllers: readonly string[]
      readonly unmounted: readonly string[]
    }
  | { readonly kind: 'none' }

export async function readCgroupLayout(env: Pick<Env, 'fs'>): Promise<CgroupLayout> {
  return cgroupLayout({
    mountinfo: (await readOptional(env, '/proc/self/mountinfo')) ?? '',
    cgroups: (await readOptional(env, '/proc/cgroups')) ?? '',
    v2controllers: (await readOptional(env, '/sys/fs/cgroup/cgroup.controllers')) ?? '',
  })
}

export function cgroupLayout({
  mountinfo,
  cgroups,
  v2controllers,
}: {
  readonly mountinfo: string
  readonly cgroups: string
  readonly v2controllers: string
}): CgroupLayout {
  const mounts = parseMounts(mountinfo)
  if (mounts.some(({ path, type }) => path === '/sys/fs/cgroup' && type === 'cgroup2'))
    return { kind: 'v2', controllers: v2controllers.trim().split(/\s+/).filter(Boolean) }
  const v1 = new Set(
    mounts.filter(({ type }) => type === 'cgroup').flatMap(({ options }) => options.split(',')),
  )
  const enabled = cgroups
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(/\s+/))
    .filter(([, , , on]) => on === '1')
    .map(([name = '']) => name)
  const controllers = enabled.filter((name) => v1.has(name))
  if (controllers.length === 0) return { kind: 'none' }
  return { kind: 'v1', controllers, unmounted: enabled.filter((name) => !v1.has(name)) }
}

const NEEDED_CONTROLLERS = ['cpu', 'memory', 'pids'] as const

function missingCgroups(layout: CgroupLayout): HostProblem[] {
  if (layout.kind === 'none') {
    return [
      {
        id: 'cgroups',
        severity: 'error',
        message: 'No cgroup hierarchy is mounted at /sys/fs/cgroup: containers are limited by it',
        fix: 'mount -t cgroup2 none /sys/fs/cgroup',
      },
    ]
  }
  const missing = NEEDED_CONTROLLERS.filter((name) => !layout.controllers.includes(name))
  if (missing.length === 0) return []
  return [
    {
      id: 'cgroups',
      severity: 'error',
      message: `The cgroup controllers ${missing.join(', ')} are not available: resource limits need them`,
      fix: 'Boot with cgroup_enable=memory (Debian on ARM and Raspberry Pi), or enable the controllers in the parent cgroup.subtree_control',
    },
  ]
}

/**
 * Which OCI runtimes containerd gets, the preferred one first. crun starts a container in half of runc's time, and
 * refuses a v1 layout on which an enabled controller is mounted nowhere.
 */
export function chooseRuntimes({
  layout,
  crun,
  runc,
}: {
  readonly layout: CgroupLayout
  readonly crun: string | undefined
  readonly runc: string | undefined
}): readonly { readonly name: 'crun' | 'runc'; readonly path: string }[] {
  const both = [
    { name: 'crun' as const, path: crun },
    { name: 'runc' as const, path: runc },
  ].flatMap(({ name, path }) => (path === undefined ? [] : [{ name, path }]))
  const crunWorks = layout.kind === 'v2' || (layout.kind === 'v1' && !crunNeeds(layout.unmounted))
  return crunWorks ? both : both.filter(({ name }) => name === 'runc')
}

const crunNeeds = (unmounted: readonly string[]): boolean => unmounted.includes('hugetlb')

/** overlayfs cannot have its upper folder on another overlay, nor on most network file systems. */
export function chooseSnapshotter(mountinfo: string, dataDir: string): 'overlayfs' | 'native' {
  const holding = parseMounts(mountinfo)
    .filter(({ path }) => path === '/' || dataDir === path || dataDir.startsWith(`${path}/`))
    .reduce<Mount | undefined>(
      (best, mount) => (best === undefined || mount.path.length >= best.path.length ? mount : best),
      undefined,
    )
  const unfit = /^(?:overlay|nfs4?|cifs|fuse.*|9p|virtiofs|vfat|exfat|aufs)$/
  return holding !== undefined && unfit.test(holding.type) ? 'native' : 'overlayfs'
}

interface Mount {
  readonly path: string
  readonly type: string
  /** Of the superblock: for cgroup v1 the controllers are among them. */
  readonly options: string
}

/** /proc/PID/mountinfo, in mount order (proc(5)). */
export function parseMounts(mountinfo: string): readonly Mount[] {
  return mountinfo.split('\n').flatMap((line) => {
    const [front = '', back = ''] = line.split(' - ')
    const path = front.split(' ')[4]
    const [type, , options] = back.split(' ')
    if (path === undefined || type === undefined) return []
    return [{ path: unescapeOctal(path), type, options: options ?? '' }]
  })
}

const unescapeOctal = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  )

const CAP_SYS_RESOURCE = 24n

/** Without CAP_SYS_RESOURCE nobody may lower an oom_score_adj, and a container that asks for it would not start. */
export function mayLowerOomScore(procStatus: string): boolean {
  const hex = /^CapEff:\s*([0-9a-f]+)/m.exec(procStatus)?.[1]
  return hex !== undefined && ((BigInt(`0x${hex}`) >> CAP_SYS_RESOURCE) & 1n) === 1n
}

async function readOptional({ fs }: Pick<Env, 'fs'>, path: string): Promise<string | undefined> {
  try {
    return await fs.readText(path)
  } catch {
    return undefined
  }
}
