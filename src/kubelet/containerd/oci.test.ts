import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { Parser } from 'tar'
import { configFingerprint, containerdConfig, registryHosts } from './config.ts'
import { demoImage, isStaticProgram, parseImageTable, pauseImage } from './images.ts'
import { buildImage, tarArchive } from './oci.ts'
import { pauseProgram } from './pause.ts'
import { descendants, mountsBelow } from './remains.ts'

async function entriesOf(
  archive: Uint8Array,
): Promise<Map<string, { type: string; mode: number | undefined; link: string; data: Buffer }>> {
  const found = new Map<
    string,
    { type: string; mode: number | undefined; link: string; data: Buffer }
  >()
  const parser = new Parser({ strict: true })
  parser.on('entry', (entry) => {
    const chunks: Buffer[] = []
    entry.on('data', (chunk: Buffer) => chunks.push(chunk))
    entry.on('end', () =>
      found.set(entry.path, {
        type: entry.type,
        mode: entry.mode,
        link: entry.linkpath ?? '',
        data: Buffer.concat(chunks),
      }),
    )
  })
  await new Promise<void>((resolve, reject) => {
    parser.on('end', () => resolve())
    parser.on('error', reject)
    parser.end(Buffer.from(archive))
  })
  return found
}

const digest = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex')

test('an archive gives back what was put in', async () => {
  const entries = await entriesOf(
    tarArchive([
      { kind: 'folder', path: '/tmp', mode: 0o1777 },
      { kind: 'file', path: 'tmp/a', data: 'one', mode: 0o755 },
      { kind: 'symlink', path: 'b', target: '/tmp/a' },
      { kind: 'file', path: `long/${'x'.repeat(90)}/${'y'.repeat(90)}`, data: new Uint8Array(513) },
    ]),
  )
  assert.equal(entries.get('tmp/')?.mode, 0o1777)
  assert.equal(entries.get('tmp/a')?.data.toString(), 'one')
  assert.equal(entries.get('b')?.link, '/tmp/a')
  assert.equal([...entries.values()].at(-1)?.data.length, 513)
})

test('an image is an OCI layout whose descriptors match its blobs', async () => {
  const { archive, digest: named } = pauseImage('amd64')
  const entries = await entriesOf(archive)
  for (const [path, { data }] of entries) {
    const name = /^blobs\/sha256\/(.+)$/.exec(path)?.[1]
    if (name) assert.equal(digest(data), name)
  }
  const index = JSON.parse(entries.get('index.json')?.data.toString() ?? '')
  assert.equal(index.manifests[0].digest, named)
  const blob = (of: { digest: string; size: number }): Buffer => {
    const data = entries.get(`blobs/sha256/${of.digest.slice(7)}`)?.data
    assert.equal(data?.length, of.size)
    return data ?? Buffer.alloc(0)
  }
  const manifest = JSON.parse(blob(index.manifests[0]).toString())
  const config = JSON.parse(blob(manifest.config).toString())
  assert.deepEqual(
    config.rootfs.diff_ids,
    manifest.layers.map(({ digest: id }: { digest: string }) => id),
  )
  const files = await entriesOf(blob(manifest.layers[0]))
  assert.deepEqual(files.get('pause')?.data, Buffer.from(pauseProgram('amd64')))
})

test('equal files make equal images, other files another digest', () => {
  const make = (data: string) =>
    buildImage({
      name: 'x/y:1',
      architecture: 'amd64',
      layers: [[{ kind: 'file', path: 'a', data }]],
    })
  assert.equal(make('1').digest, make('1').digest)
  assert.notEqual(make('1').digest, make('2').digest)
})

test('the demo has a shell, its applets and an entry point', async () => {
  const { archive } = demoImage(
    { program: new Uint8Array(10), applets: ['bin/sh', 'bin/busybox', 'opt/x/y'] },
    'arm64',
  )
  const layers = [...(await entriesOf(archive)).values()].filter(({ data }) => data.length > 1024)
  const files = await Promise.all(layers.map(({ data }) => entriesOf(data)))
  const all = new Map(files.flatMap((map) => [...map]))
  assert.equal(all.get('bin/sh')?.link, '/bin/busybox')
  assert.equal(all.get('tmp/')?.mode, 0o1777)
  assert.equal(all.get('demo')?.mode, 0o755)
  assert.equal(all.has('opt/x/y'), false)
})

for (const architecture of ['amd64', 'arm64'] as const) {
  test(`the pause program for ${architecture} is a small static executable`, () => {
    const program = pauseProgram(architecture)
    assert.ok(program.length < 300)
    assert.equal(isStaticProgram(program), true)
  })
}

test('a program with an interpreter is not static', () => {
  const program = pauseProgram('amd64').slice()
  program[64] = 3
  assert.equal(isStaticProgram(program), false)
  assert.equal(isStaticProgram(new TextEncoder().encode('#!/bin/sh')), false)
})

test('images are read from the table that ctr prints', () => {
  const id = `sha256:${'a'.repeat(64)}`
  const table = `REF TYPE DIGEST SIZE PLATFORMS LABELS
registry.navarch.internal/busybox:1 application/vnd.oci.image.manifest.v1+json ${id} 1.9 MiB linux/amd64 io.cri-containerd.image=managed
${id} application/vnd.oci.image.manifest.v1+json ${id} 1.9 MiB linux/amd64 io.cri-containerd.image=managed
docker.io/library/a@${id} application/vnd.oci.image.manifest.v1+json ${id} 12.0 B linux/amd64 -
`
  assert.deepEqual(parseImageTable(table), [
    {
      name: 'registry.navarch.internal/busybox:1',
      digest: id,
      sizeBytes: Math.round(1.9 * 2 ** 20),
    },
  ])
})

const config = {
  root: '/d/containerd',
  state: '/r/state',
  socket: '/r/containerd.sock',
  snapshotter: 'overlayfs',
  runtimes: [{ name: 'crun', path: '/usr/bin/crun' }],
  sandboxImage: 'x/pause:1',
  restrictOomScoreAdj: true,
  cniBinDir: '/usr/lib/cni',
  cniConfDir: '/d/cni',
  certsDir: '/d/certs.d',
} as const

test('the configuration names only our own folders', () => {
  const text = containerdConfig(config)
  assert.match(text, /^version = 2\n/)
  assert.match(
    text,
    /\[plugins\."io\.containerd\.grpc\.v1\.cri"\.containerd\.runtimes\.crun\.options\]\nBinaryName = "\/usr\/bin\/crun"/,
  )
  assert.doesNotMatch(text, /\/run\/containerd|\/var\/lib\/containerd|\/etc\//)
})

test('containerd is started anew when its configuration or program changed', () => {
  const text = containerdConfig(config)
  assert.equal(configFingerprint(text, '1.6'), configFingerprint(containerdConfig(config), '1.6'))
  assert.notEqual(configFingerprint(text, '1.6'), configFingerprint(text, '1.7'))
})

test('mirrors come before the registry, which stays the last resort', () => {
  const hosts = registryHosts({ 'docker.io': ['http://127.0.0.1:5000'], '*': ['https://m'] })
  assert.equal(
    hosts.get('docker.io'),
    'server = "https://registry-1.docker.io"\n\n[host."http://127.0.0.1:5000"]\ncapabilities = ["pull","resolve"]\n',
  )
  assert.equal(hosts.get('_default'), '[host."https://m"]\ncapabilities = ["pull","resolve"]\n')
})

test('a shim falls with all that it started', () => {
  const tree = [
    { pid: 10, parent: 1, command: ['shim'] },
    { pid: 11, parent: 10, command: ['pause'] },
    { pid: 13, parent: 12, command: ['sh'] },
    { pid: 12, parent: 10, command: ['web'] },
    { pid: 14, parent: 1, command: ['other'] },
  ]
  assert.deepEqual(
    descendants(tree, ({ command }) => command[0] === 'shim').toSorted((a, b) => a - b),
    [10, 11, 12, 13],
  )
})

test('mounts are undone in reverse order, and only below our folders', () => {
  const mountinfo = ['/a/state', '/a/state/rootfs', '/a/statement', '/b'].map(
    (path, i) => `${i} 1 8:1 / ${path} rw - ext4 x rw`,
  )
  assert.deepEqual(mountsBelow(mountinfo.join('\n'), ['/a/state']), ['/a/state/rootfs', '/a/state'])
})
