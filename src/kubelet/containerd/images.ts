/** The images of our containerd: imported from archives or built on the spot, listed, removed. */
import type { Env } from '#base'
import { buildImage, type BuiltImage, type LayerEntry } from './oci.ts'
import { pauseProgram } from './pause.ts'
import type { ContainerdProbe } from './probe.ts'

/** Images made here belong to no registry: the name makes that plain, and a pull of it fails fast. */
export const LOCAL_REGISTRY = 'registry.navarch.internal'
/** What holds a pod's namespaces: it waits, and reaps. */
export const PAUSE_IMAGE = `${LOCAL_REGISTRY}/pause:1`
/** A shell and small tools, made of the machine's own busybox. */
export const BUSYBOX_IMAGE = `${LOCAL_REGISTRY}/busybox:1`
/** A small web server to try things with. */
export const DEMO_IMAGE = `${LOCAL_REGISTRY}/demo:1`

export type Architecture = 'amd64' | 'arm64'

/** An image as containerd lists it. */
export interface StoredImage {
  readonly name: string
  readonly digest: string
  readonly sizeBytes: number
}

/** The images of a containerd. */
export interface Images {
  /** Loads an archive made by `docker save`, `podman save` or an OCI layout in a tar, gzipped or not; gives the names in it. */
  load(path: string): Promise<readonly string[]>
  /** Imports what `buildImage` made, unless the very same is already there. */
  put(image: BuiltImage): Promise<void>
  list(): Promise<readonly StoredImage[]>
  remove(name: string): Promise<void>
  /** Shows an image's files, read only, in a folder that is there: until they are unmounted or the image goes. */
  mount(image: string, folder: string): Promise<void>
}

/** How long an import may take before something is wrong: gigabytes on a slow disk. */
const IMPORT_TIMEOUT_MS = 600_000
const COMMAND_TIMEOUT_MS = 30_000
/** An import is seen by CRI through an event; how often it is asked for until then. */
const SEEN_POLL_MS = 5
const SEEN_TIMEOUT_MS = 10_000

export function imageStore({
  env,
  ctr,
  socket,
  snapshotter,
  probe,
}: {
  readonly env: Pick<Env, 'clock' | 'process'>
  /** Path of containerd's own client. */
  readonly ctr: string
  readonly socket: string
  /** Where layers are unpacked; containerd's own choice when it is left out. */
  readonly snapshotter?: string
  readonly probe: ContainerdProbe
}): Images {
  const run = async (
    args: readonly string[],
    options: { readonly input?: Uint8Array; readonly timeoutMs?: number } = {},
  ): Promise<string> => {
    const { code, stdout, stderr } = await env.process.run(
      [ctr, '--address', socket, '--namespace', 'k8s.io', 'images', ...args],
      { timeoutMs: COMMAND_TIMEOUT_MS, ...options },
    )
    if (code === 0) return stdout
    throw new Error(`Cannot ${args[0]} image: ${lastLine(stderr) || `ctr ended with ${code}`}`)
  }
  const list = async (): Promise<readonly StoredImage[]> => parseImageTable(await run(['list']))

  /** Pods can use an image only when CRI has seen it too. */
  const seen = async (name: string): Promise<void> => {
    const deadline = env.clock.monotonic() + SEEN_TIMEOUT_MS
    while (!(await probe.hasImage(name, COMMAND_TIMEOUT_MS))) {
      if (env.clock.monotonic() > deadline)
        throw new Error(`Image ${name} was imported, but containerd does not offer it to pods`)
      await env.clock.sleep(SEEN_POLL_MS)
    }
  }

  return {
    async load(path) {
      const before = new Map((await list()).map(({ name, digest }) => [name, digest]))
      const output = await run(['import', path], { timeoutMs: IMPORT_TIMEOUT_MS })
      const printed = [
        ...output.matchAll(/^(?:unpacking )?(\S+?)(?: \((sha256:\w+)\))?(?:\s*\.\.\.|\s+saved)/gm),
      ]
        .map(([, name = '']) => name)
        .filter((name) => name.includes('/') || name.includes(':'))
      const changed = (await list())
        .filter(({ name, digest }) => before.get(name) !== digest)
        .map(({ name }) => name)
      const names = [...new Set([...printed, ...changed])].filter(
        (name) => !name.startsWith('sha256:'),
      )
      for (const name of names) await seen(name)
      return names
    },
    async put({ name, digest, archive }) {
      const present = (await list()).find((image) => image.name === name)
      if (present?.digest !== digest)
        await run(['import', '-'], { input: archive, timeoutMs: IMPORT_TIMEOUT_MS })
      await seen(name)
    },
    list,
    async remove(name) {
      const stored = (await list()).find((image) => image.name === name)
      if (stored === undefined)
        throw new Error(`Cannot remove image "${name}": there is no such image`)
      await run(['remove', '--sync', name])
    },
    async mount(image, folder) {
      const where = snapshotter === undefined ? [] : ['--snapshotter', snapshotter]
      await run(['mount', ...where, image, folder])
    },
  }
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? ''

const UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
}

/** What `ctr images list` prints. Names that are digests or image identifiers are CRI's own. */
export function parseImageTable(table: string): readonly StoredImage[] {
  return table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const row = /^(\S+)\s+\S+\s+(sha256:[0-9a-f]{64})\s+([\d.]+)\s?([KMGT]?i?B)\s/.exec(
        `${line} `,
      )
      const [, name = '', digest = '', size = '', unit = ''] = row ?? []
      if (row === null || name.startsWith('sha256:') || name.includes('@sha256:')) return []
      return [{ name, digest, sizeBytes: Math.round(Number(size) * (UNITS[unit] ?? 1)) }]
    })
}

export function pauseImage(architecture: Architecture): BuiltImage {
  return buildImage({
    name: PAUSE_IMAGE,
    architecture,
    layers: [[{ kind: 'file', path: 'pause', mode: 0o755, data: pauseProgram(architecture) }]],
    config: { entrypoint: ['/pause'], user: '65535:65535' },
  })
}

/** A small userland out of the machine's static busybox: a shell and its commands, root and nobody, /tmp for all. */
export function busyboxImage(busybox: Busybox, architecture: Architecture): BuiltImage {
  return buildImage({
    name: BUSYBOX_IMAGE,
    architecture,
    layers: [busyboxLayer(busybox)],
    config: { command: ['sh'] },
  })
}

/** A web server whose answer names the replica and its version: what the demo application runs. */
export function demoImage(
  busybox: Busybox,
  architecture: Architecture,
  name = DEMO_IMAGE,
): BuiltImage {
  return buildImage({
    name,
    architecture,
    layers: [
      busyboxLayer(busybox),
      [{ kind: 'file', path: 'demo', mode: 0o755, data: DEMO_SCRIPT }],
    ],
    config: { entrypoint: ['/demo'], exposedPorts: ['8080/tcp'] },
  })
}

/**
 * VERSION and PORT come from the environment. The page is written once, so that a request costs one small file. On
 * SIGTERM it stays for a moment: what was connected is answered before the listener goes.
 */
const DEMO_SCRIPT = `#!/bin/sh
name=$(hostname)
mkdir -p /tmp/www
printf 'Hello from %s, version %s\\n' "$name" "\${VERSION:-1}" > /tmp/www/index.html
echo ok > /tmp/www/healthz
httpd -f -p "\${PORT:-8080}" -h /tmp/www &
server=$!
trap 'sleep 0.3; kill $server; sleep 0.1; exit 0' TERM INT
wait $server
`

/** The machine's busybox, and what it can be called as. */
export interface Busybox {
  readonly program: Uint8Array
  /** `bin/ls`, as \`busybox --list-full\` prints them. */
  readonly applets: readonly string[]
}

/** The machine's busybox, when it is there and needs no libraries. */
export async function readBusybox(
  env: Pick<Env, 'fs' | 'process'>,
  path: string,
): Promise<Busybox | undefined> {
  const program = await env.fs.read(path)
  if (!isStaticProgram(program)) return undefined
  const { code, stdout } = await env.process.run([path, '--list-full'])
  if (code !== 0) return undefined
  return { program, applets: stdout.split('\n').filter(Boolean) }
}

const PT_INTERP = 3

/** A 64-bit ELF program without an interpreter runs in an empty root file system. */
export function isStaticProgram(program: Uint8Array): boolean {
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength)
  if (program.length < 64 || view.getUint32(0) !== 0x7f45_4c46 || program[4] !== 2) return false
  const [start, size, count] = [
    Number(view.getBigUint64(32, true)),
    view.getUint16(54, true),
    view.getUint16(56, true),
  ]
  for (let header = 0; header < count; header++) {
    const at = start + header * size
    if (at + 4 > program.length || view.getUint32(at, true) === PT_INTERP) return false
  }
  return true
}

/** The files of a small userland. */
export function busyboxLayer({ program, applets }: Busybox): readonly LayerEntry[] {
  const folders = [
    'bin',
    'sbin',
    'usr',
    'usr/bin',
    'usr/sbin',
    'etc',
    'root',
    'home',
    'var',
    'dev',
    'proc',
    'sys',
    'run',
  ]
  const known = new Set(folders)
  const links = applets.filter(
    (applet) => applet !== 'bin/busybox' && known.has(applet.slice(0, applet.lastIndexOf('/'))),
  )
  return [
    ...folders.map((path): LayerEntry => ({ kind: 'folder', path })),
    { kind: 'folder', path: 'tmp', mode: 0o1777 },
    { kind: 'folder', path: 'var/tmp', mode: 0o1777 },
    { kind: 'file', path: 'bin/busybox', mode: 0o755, data: program },
    ...links.map((path): LayerEntry => ({ kind: 'symlink', path, target: '/bin/busybox' })),
    {
      kind: 'file',
      path: 'etc/passwd',
      data: 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n',
    },
    { kind: 'file', path: 'etc/group', data: 'root:x:0:\nnogroup:x:65534:\n' },
  ]
}
