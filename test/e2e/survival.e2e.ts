/** What a user trusts a cluster with: nothing acknowledged is lost, whatever happens to the program and to its disk. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { configMaps } from '#api'
import { createClient, httpTransport, parseKubeconfig, type Client } from '#client'
import { canRunContainers, eventually, startCluster } from '../support/navarch.ts'
import { root } from '../support/tools.ts'

const main = join(root, 'src', 'cli', 'main.ts')
const isRoot = process.platform === 'linux' && process.getuid?.() === 0

interface Place {
  readonly dataDir: string
  readonly env: NodeJS.ProcessEnv
  navarch(...words: string[]): { readonly code: number | null; readonly text: string }
  up(...words: string[]): { readonly code: number | null; readonly text: string }
  open(): Client & { close(): void }
  pid(): number
  leave(): void
}

function makePlace(dataDirOf: (base: string) => string = (base) => join(base, 'data')): Place {
  const base = mkdtempSync(join(tmpdir(), 'navarch-survival-'))
  const dataDir = dataDirOf(base)
  const env = {
    ...process.env,
    NAVARCH_DATA_DIR: dataDir,
    KUBECONFIG: join(base, 'kubeconfig'),
    NODE_EXTRA_CA_CERTS: '',
  }
  const navarch: Place['navarch'] = (...words) => {
    const ran = spawnSync(process.execPath, [main, ...words], {
      env,
      encoding: 'utf8',
      timeout: 60_000,
    })
    return { code: ran.status, text: ran.stdout + ran.stderr }
  }
  return {
    dataDir,
    env,
    navarch,
    up: (...words) =>
      navarch('up', '--runtime=simulated', '--node-name=node-1', '--port=0', ...words),
    open() {
      const transport = httpTransport(
        parseKubeconfig(readFileSync(join(dataDir, 'kubeconfig'), 'utf8')),
      )
      return { ...createClient(transport), close: () => transport.close() }
    },
    pid() {
      const { pid } = JSON.parse(navarch('status', '-o', 'json').text) as { pid: number }
      return pid
    },
    leave() {
      navarch('delete', '--yes')
      rmSync(base, { recursive: true, force: true })
    },
  }
}

const isGone = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return false
  } catch {
    return true
  }
}

describe('kill -9 under the load of 64 clients', () => {
  let place: Place
  before(() => {
    place = makePlace()
    const { code, text } = place.up()
    assert.equal(code, 0, text)
  })
  after(() => place.leave())

  test('every write that was acknowledged is there, with its content and revision', async () => {
    for (let round = 0; round < 3; round++) {
      const acknowledged = new Map<string, { revision: string; content: string }>()
      const clients = Array.from({ length: 8 }, () => place.open())
      let isOver = false
      const writers = Array.from({ length: 64 }, async (_, i) => {
        const client = clients[i % clients.length]!
        const name = `round-${round}-${i}`
        for (let n = 0; !isOver; n++) {
          const content = `${n}-${'x'.repeat(n % 200)}`
          try {
            const written =
              n % 5 === 0
                ? await client.create(configMaps, {
                    metadata: { name: `${name}-${n}`, namespace: 'default' },
                    data: { content },
                  })
                : await client.patch(
                    configMaps,
                    { namespace: 'default', name: `${name}-${n - (n % 5)}` },
                    'merge',
                    { data: { content } },
                  )
            acknowledged.set(written.metadata.name, {
              revision: written.metadata.resourceVersion,
              content,
            })
          } catch {
            // Killed while it was asked: nobody promised anything.
            return
          }
        }
      })
      const pid = place.pid()
      await eventually('some hundred writes', () => acknowledged.size > 300)
      process.kill(pid, 'SIGKILL')
      await Promise.all(writers)
      isOver = true
      for (const client of clients) client.close()
      await eventually('the program is gone', () => isGone(pid))
      const { code, text } = place.up()
      assert.equal(code, 0, text)
      const client = place.open()
      const { items } = await client.list(configMaps, { namespace: 'default' })
      const found = new Map(items.map((item) => [item.metadata.name, item]))
      for (const [name, { revision, content }] of acknowledged) {
        const item = found.get(name)
        assert.ok(item, `${name} was acknowledged and is gone`)
        // A write that was under way may have come after it, never before.
        assert.ok(
          Number(item.metadata.resourceVersion) >= Number(revision),
          `${name} is at ${item.metadata.resourceVersion}, and ${revision} was acknowledged`,
        )
        if (item.metadata.resourceVersion === revision)
          assert.equal(item.data?.['content'], content)
      }
      client.close()
    }
  })
})

describe('a full disk', { skip: isRoot ? false : 'needs root, for a small file system' }, () => {
  let place: Place
  let disk = ''
  before(() => {
    place = makePlace((base) => {
      disk = join(base, 'disk')
      mkdirSync(disk)
      const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'tmpfs', disk])
      assert.equal(status, 0, 'a small file system could not be mounted')
      return join(disk, 'data')
    })
    const { code, text } = place.up()
    assert.equal(code, 0, text)
  })
  after(() => {
    place.navarch('delete', '--yes')
    spawnSync('umount', ['-l', disk])
    place.leave()
  })

  test('a write is refused with what is to be done, reads go on, and it recovers', async () => {
    const client = place.open()
    const acknowledged: string[] = []
    // What others have put there.
    writeFileSync(join(disk, 'ballast'), Buffer.alloc(24 << 20))
    let refusal: unknown
    for (let n = 0; refusal === undefined && n < 400; n++)
      try {
        const name = `big-${n}`
        await client.create(configMaps, {
          metadata: { name, namespace: 'default' },
          // What repeats itself would take no room.
          data: { content: randomBytes(200_000).toString('hex') },
        })
        acknowledged.push(name)
      } catch (error) {
        refusal = error
      }
    assert.ok(refusal instanceof Error, 'the disk never was full')
    assert.match(refusal.message, /no space left|disk is full/i)
    const { items } = await client.list(configMaps, { namespace: 'default' })
    const names = new Set(items.map(({ metadata }) => metadata.name))
    for (const name of acknowledged) assert.ok(names.has(name), `${name} is gone`)

    rmSync(join(disk, 'ballast'))
    await eventually('writes are taken again', async () => {
      const { metadata } = await client.create(configMaps, {
        metadata: { generateName: 'after-', namespace: 'default' },
      })
      acknowledged.push(metadata.name)
      return true
    })
    client.close()
    process.kill(place.pid(), 'SIGKILL')
    const { code, text } = place.up()
    assert.equal(code, 0, text)
    const again = place.open()
    const after = await again.list(configMaps, { namespace: 'default' })
    const left = new Set(after.items.map(({ metadata }) => metadata.name))
    for (const name of acknowledged) assert.ok(left.has(name), `${name} is gone after the start`)
    again.close()
  })

  test('up on a disk that is full already says so', () => {
    place.navarch('down')
    writeFileSync(join(disk, 'rest'), '')
    spawnSync('sh', ['-c', `cat /dev/zero > ${join(disk, 'rest')}`])
    const { code, text } = place.up()
    assert.notEqual(code, 0)
    assert.match(text, /No space left|disk is full/i)
    assert.match(text, /[Ff]ree some space/)
    rmSync(join(disk, 'rest'))
    assert.equal(place.up().code, 0)
  })
})

describe('a machine that lacks something', { skip: isRoot ? false : 'needs root' }, () => {
  /** Runs `up` where these files are hidden, in mounts of its own. */
  const upWithout = (
    place: Place,
    hidden: Readonly<Record<string, string>>,
    ...words: readonly string[]
  ): { readonly code: number | null; readonly text: string } => {
    const mounts = Object.entries(hidden).map(([path, by]) => `mount --bind ${by} ${path}`)
    const ran = spawnSync(
      'unshare',
      [
        '--mount',
        'sh',
        '-c',
        `${mounts.join(' && ')} && exec "$@"`,
        'sh',
        process.execPath,
        main,
        'up',
        '--node-name=node-1',
        '--port=0',
        ...words,
      ],
      { env: place.env, encoding: 'utf8', timeout: 60_000 },
    )
    return { code: ran.status, text: ran.stdout + ran.stderr }
  }
  const pathOf = (tool: string): string =>
    spawnSync('sh', ['-c', `realpath "$(command -v ${tool})"`], { encoding: 'utf8' }).stdout.trim()

  test('without containerd it runs a simulated node, and names the package', () => {
    const place = makePlace()
    try {
      const { code, text } = upWithout(place, { [pathOf('containerd')]: '/dev/null' })
      assert.equal(code, 0, text)
      assert.match(text, /simulated/)
      assert.match(place.navarch('status').text, /containerd is not installed/)
    } finally {
      place.leave()
    }
  })

  test('without a tool, a wish for real containers is refused with the package', () => {
    const place = makePlace()
    try {
      const { code, text } = upWithout(
        place,
        { [pathOf('nft')]: '/dev/null' },
        '--runtime=containerd',
      )
      assert.notEqual(code, 0, text)
      assert.match(text, /nft is not installed/)
      assert.match(text, /apt-get install -y nftables/)
    } finally {
      place.leave()
    }
  })

  test('without a feature of the kernel, a wish for real containers is refused with its name', () => {
    const place = makePlace()
    try {
      const file = join(place.dataDir, '..', 'filesystems')
      writeFileSync(
        file,
        readFileSync('/proc/filesystems', 'utf8').replaceAll(/^.*overlay\n/gm, ''),
      )
      const { code, text } = upWithout(place, { '/proc/filesystems': file }, '--runtime=containerd')
      assert.notEqual(code, 0, text)
      assert.match(text, /overlay/)
    } finally {
      place.leave()
    }
  })

  test('without permission it says which folder, and what to do', () => {
    const place = makePlace()
    try {
      mkdirSync(place.dataDir)
      chmodSync(place.dataDir, 0o700)
      chmodSync(join(place.dataDir, '..'), 0o755)
      const ran = spawnSync(process.execPath, [main, 'up', '--runtime=simulated', '--port=0'], {
        env: place.env,
        encoding: 'utf8',
        timeout: 60_000,
        uid: 65_534,
        gid: 65_534,
      })
      const text = ran.stdout + ran.stderr
      assert.notEqual(ran.status, 0, text)
      assert.match(text, /No permission to write to .*data/)
      assert.match(text, /--data-dir DIR/)
    } finally {
      place.leave()
    }
  })
})

describe(
  'a machine that is rebooted',
  { skip: canRunContainers ? false : 'needs real containers' },
  () => {
    test('containers are started anew, and everything else is as it was', async () => {
      const cluster = await startCluster()
      try {
        cluster.navarch(['image', 'build', '--demo', '--tag', 'local/web:1'])
        cluster.kubectl('create deployment web --image=local/web:1 --replicas=2')
        cluster.kubectl('rollout status deployment/web --timeout=60s')
        const before = JSON.parse(cluster.kubectl('get pods -o json').stdout) as {
          items: { metadata: { uid: string } }[]
        }
        const uids = before.items.map(({ metadata }) => metadata.uid)
        // What a reboot ends and empties: processes, run folders, namespaces, mounts, tables.
        cluster.reboot()
        cluster.up()
        await eventually('both run again', () => {
          const { items } = JSON.parse(cluster.kubectl('get pods -o json').stdout) as {
            items: {
              metadata: { uid: string }
              status: { containerStatuses?: { ready: boolean; restartCount: number }[] }
            }[]
          }
          return (
            items.length === 2 &&
            items.every(
              ({ metadata, status }) =>
                uids.includes(metadata.uid) &&
                status.containerStatuses?.every((each) => each.ready && each.restartCount === 1),
            )
          )
        })
      } finally {
        cluster.stop()
      }
    })
  },
)
