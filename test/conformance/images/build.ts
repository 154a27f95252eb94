/**
 * `node test/conformance/images/build.ts [--data-dir DIR]`: makes stand-ins of the official test images and gives them to
 * a running cluster under the official names, for machines that no registry can be reached from.
 */
import { spawnSync } from 'node:child_process'
import { KeyObject } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import 'reflect-metadata'
import * as x509 from '@peculiar/x509'
import { AGNHOST, AGNHOST_BEFORE, BUSYBOX, KITTEN, NAUTILUS, PAUSE } from '../support.ts'

const here = fileURLToPath(new URL('.', import.meta.url))
const main = join(here, '..', '..', '..', 'src', 'cli', 'main.ts')
const folder = mkdtempSync(join(tmpdir(), 'navarch-test-images-'))
const put = (root: string, path: string, content: string | { readonly copyOf: string }): void => {
  const target = join(root, path)
  mkdirSync(dirname(target), { recursive: true })
  if (typeof content === 'string') writeFileSync(target, content)
  else copyFileSync(realpathSync(content.copyOf), target)
  chmodSync(target, 0o755)
}

/** The shared libraries a program asks for, where it looks for them. */
const librariesOf = (program: string): readonly string[] =>
  [...spawnSync('ldd', [program], { encoding: 'utf8' }).stdout.matchAll(/(\/\S+)\s+\(0x/g)].map(
    (match) => match[1] ?? '',
  )

/**
 * The machine's busybox whose shell does not know `nc`: it takes what it has itself before what is on the PATH, and its
 * own has neither -z nor -v. The applets are looked up in their order, so the new name stays in its place.
 */
function busyboxWithoutNc(): Buffer {
  const program = readFileSync('/bin/busybox', 'latin1')
  return Buffer.from(program.replace('\0nc\0netstat\0', '\0nb\0netstat\0'), 'latin1')
}

function nodeRoot(name: string): string {
  const root = join(folder, name)
  put(root, 'node', { copyOf: process.execPath })
  for (const library of librariesOf(process.execPath)) put(root, library, { copyOf: library })
  put(root, 'agnhost.mjs', { copyOf: join(here, 'agnhost.mjs') })
  put(
    root,
    'agnhost',
    '#!/bin/sh\nexec /node --disable-warning=ExperimentalWarning /agnhost.mjs "$@"\n',
  )
  // The official image has its program by a second name too, for tests of a pod's own command.
  put(root, 'agnhost-2', '#!/bin/sh\nPROGRAM=/agnhost-2 exec /agnhost "$@"\n')
  put(root, 'bin/busybox', '')
  writeFileSync(join(root, 'bin/busybox'), busyboxWithoutNc())
  put(root, 'usr/bin/nc', '#!/bin/sh\nexec /agnhost nc "$@"\n')
  for (const tool of ['curl', 'getent'])
    put(root, `usr/bin/${tool}`, `#!/bin/sh\nexec /agnhost ${tool} "$@"\n`)
  put(root, 'dig.mjs', { copyOf: join(here, 'dig.mjs') })
  put(root, 'usr/bin/dig', '#!/bin/sh\nexec /node /dig.mjs "$@"\n')
  put(
    root,
    'etc/passwd',
    'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n',
  )
  put(root, 'etc/group', 'root:x:0:\nnogroup:x:65534:\n')
  return root
}

function build(tag: string, root: string, entrypoint: readonly string[] = []): void {
  const { status, stderr } = spawnSync(
    process.execPath,
    [
      main,
      'image',
      'build',
      root,
      '--tag',
      tag,
      ...entrypoint.map((word) => `--entrypoint=${word}`),
      ...process.argv.slice(2),
    ],
    { encoding: 'utf8' },
  )
  if (status !== 0) throw new Error(`Cannot build ${tag}: ${stderr}`)
  console.log(`Built ${tag}`)
}

/** The official image brings a certificate of `localhost`, for handlers of hooks that speak TLS. */
async function putCertificate(root: string): Promise<void> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=localhost',
    keys,
    signingAlgorithm: algorithm,
    notAfter: new Date(Date.now() + 365 * 24 * 3600 * 1000),
    extensions: [
      new x509.SubjectAlternativeNameExtension([
        { type: 'dns', value: 'localhost' },
        { type: 'ip', value: '127.0.0.1' },
      ]),
    ],
  })
  put(root, 'localhost.crt', certificate.toString('pem'))
  const key = KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' })
  put(root, 'localhost.key', key.toString())
}

const agnhost = nodeRoot('agnhost')
await putCertificate(agnhost)
build(AGNHOST, agnhost, ['/agnhost'])
put(agnhost, 'before', 'this is the earlier version\n')
build(AGNHOST_BEFORE, agnhost, ['/agnhost'])
const empty = join(folder, 'busybox')
put(
  empty,
  'etc/passwd',
  'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n',
)
put(
  empty,
  'bin/sysctl',
  '#!/bin/sh\nfor name; do echo "$name = $(cat /proc/sys/$(echo $name | tr . /))"; done\n',
)
build(BUSYBOX, empty)
const pause = join(folder, 'pause')
put(pause, 'pause', "#!/bin/sh\ntrap 'exit 0' TERM INT\nwhile :; do sleep 3600 & wait $!; done\n")
build(PAUSE, pause, ['/pause'])
for (const [tag, picture] of [
  [NAUTILUS, 'nautilus.jpg'],
  [KITTEN, 'kitten.jpg'],
] as const) {
  const root = join(folder, picture)
  put(root, 'data.json', JSON.stringify({ image: picture }))
  put(root, 'etc/os-release', 'ID=alpine\n')
  build(tag, root, ['httpd', '-f', '-p', '80', '-h', '/'])
}
rmSync(folder, { recursive: true })
