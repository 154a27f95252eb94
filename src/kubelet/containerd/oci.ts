/** OCI images out of files: layers as tar, descriptors by their SHA-256. Equal content gives equal digests. */
import { createHash } from 'node:crypto'
import { Header } from 'tar'

/** A file, folder or link of a layer. */
export type LayerEntry = {
  readonly path: string
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
} & (
  | { readonly kind: 'file'; readonly data: Uint8Array | string }
  | { readonly kind: 'folder' }
  | { readonly kind: 'symlink'; readonly target: string }
  | { readonly kind: 'hardlink'; readonly target: string }
)

/** As the image specification and Docker's configuration have it. */
export interface ImageConfig {
  readonly entrypoint?: readonly string[]
  readonly command?: readonly string[]
  /** `NAME=value`. */
  readonly env?: readonly string[]
  readonly workingDir?: string
  /** `uid:gid`, or names that the image's /etc/passwd knows. */
  readonly user?: string
  /** `8080/tcp`. */
  readonly exposedPorts?: readonly string[]
  readonly labels?: Readonly<Record<string, string>>
  readonly stopSignal?: string
}

/** What an image is to be (OCI image configuration). */
export interface ImageSpec {
  /** Full name with registry and tag: `registry.navarch.internal/web:1`. */
  readonly name: string
  readonly architecture: 'amd64' | 'arm64'
  /** The lowest first. */
  readonly layers: readonly (readonly LayerEntry[])[]
  readonly config?: ImageConfig
}

/** An image as an archive in the OCI layout. */
export interface BuiltImage {
  readonly name: string
  /** Of the manifest: what a digest reference names. */
  readonly digest: string
  /** An OCI image layout in a tar archive. */
  readonly archive: Uint8Array
}

/** No time is told: the same files make the same image tomorrow. */
const EPOCH = new Date(0)
const CREATED = '1970-01-01T00:00:00Z'

/** Builds in memory: meant for images of megabytes, not gigabytes. */
export function buildImage({ name, architecture, layers, config = {} }: ImageSpec): BuiltImage {
  const tars = layers.map((entries) => tarArchive(entries))
  const imageConfig = jsonBytes({
    architecture,
    os: 'linux',
    created: CREATED,
    config: {
      ...(config.entrypoint && { Entrypoint: config.entrypoint }),
      ...(config.command && { Cmd: config.command }),
      Env: config.env ?? ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      ...(config.workingDir !== undefined && { WorkingDir: config.workingDir }),
      ...(config.user !== undefined && { User: config.user }),
      ...(config.exposedPorts && {
        ExposedPorts: Object.fromEntries(config.exposedPorts.map((port) => [port, {}])),
      }),
      ...(config.labels && { Labels: config.labels }),
      ...(config.stopSignal !== undefined && { StopSignal: config.stopSignal }),
    },
    rootfs: { type: 'layers', diff_ids: tars.map(sha256) },
    history: tars.map(() => ({ created: CREATED, created_by: 'navarch' })),
  })
  const manifest = jsonBytes({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: descriptor('application/vnd.oci.image.config.v1+json', imageConfig),
    layers: tars.map((tar) => descriptor('application/vnd.oci.image.layer.v1.tar', tar)),
  })
  const index = jsonBytes({
    schemaVersion: 2,
    manifests: [
      {
        ...descriptor('application/vnd.oci.image.manifest.v1+json', manifest),
        platform: { os: 'linux', architecture },
        annotations: {
          'io.containerd.image.name': name,
          'org.opencontainers.image.ref.name': name.slice(name.lastIndexOf(':') + 1),
        },
      },
    ],
  })
  const blobs = new Map([imageConfig, manifest, ...tars].map((blob) => [sha256(blob), blob]))
  const archive = tarArchive([
    { kind: 'file', path: 'oci-layout', data: '{"imageLayoutVersion":"1.0.0"}' },
    { kind: 'file', path: 'index.json', data: index },
    { kind: 'folder', path: 'blobs' },
    { kind: 'folder', path: 'blobs/sha256' },
    ...[...blobs].map(([digest, data]): LayerEntry => ({
      kind: 'file',
      path: `blobs/sha256/${digest.slice('sha256:'.length)}`,
      data,
    })),
  ])
  return { name, digest: sha256(manifest), archive }
}

const sha256 = (data: Uint8Array): string =>
  `sha256:${createHash('sha256').update(data).digest('hex')}`

const descriptor = (mediaType: string, data: Uint8Array): object => ({
  mediaType,
  digest: sha256(data),
  size: data.length,
})

const encoder = new TextEncoder()
const jsonBytes = (value: unknown): Uint8Array => encoder.encode(JSON.stringify(value))

const BLOCK = 512
const TYPES = {
  file: 'File',
  folder: 'Directory',
  symlink: 'SymbolicLink',
  hardlink: 'Link',
} as const

/** A POSIX tar archive (IEEE 1003.1), entries as given: parents go before their children. */
export function tarArchive(entries: readonly LayerEntry[]): Uint8Array {
  const blocks: Uint8Array[] = []
  for (const entry of entries) {
    const data =
      entry.kind !== 'file'
        ? new Uint8Array()
        : typeof entry.data === 'string'
          ? encoder.encode(entry.data)
          : entry.data
    const path = entry.path.replace(/^\/+/, '')
    const block = Buffer.alloc(BLOCK)
    const header = new Header({
      path: entry.kind === 'folder' ? `${path}/` : path,
      type: TYPES[entry.kind],
      mode: entry.mode ?? (entry.kind === 'file' ? 0o644 : 0o755),
      uid: entry.uid ?? 0,
      gid: entry.gid ?? 0,
      size: data.length,
      mtime: EPOCH,
      ...('target' in entry && {
        // A hard link names its target as the archive does, a symbolic link as the file system does.
        linkpath: entry.kind === 'hardlink' ? entry.target.replace(/^\/+/, '') : entry.target,
      }),
    })
    if (header.encode(block, 0)) {
      throw new Error(
        `Cannot put "${entry.path}" into an image: its path or size does not fit a tar header`,
      )
    }
    blocks.push(block, data, new Uint8Array(-data.length & (BLOCK - 1)))
  }
  blocks.push(new Uint8Array(2 * BLOCK))
  return Buffer.concat(blocks)
}
