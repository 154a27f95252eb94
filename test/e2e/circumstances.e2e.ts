/** Bad circumstances: each with a message that says what to do, and nothing left half done. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { freePort } from '../support/free-port.ts'
import { eventually } from '../support/navarch.ts'
import { root } from '../support/tools.ts'

const isRoot = process.getuid?.() === 0

describe('bad circumstances', () => {
  let base: string
  let env: NodeJS.ProcessEnv
  const main = join(root, 'src', 'cli', 'main.ts')
  const navarch = (...words: string[]): { code: number | null; text: string } => {
    const ran = spawnSync(process.execPath, [main, ...words], {
      env,
      encoding: 'utf8',
      timeout: 60_000,
    })
    return { code: ran.status, text: ran.stdout + ran.stderr }
  }
  const up = (...words: string[]): { code: number | null; text: string } =>
    navarch('up', '--runtime=simulated', '--node-name=node-1', ...words)

  before(() => {
    base = mkdtempSync(join(tmpdir(), 'navarch-bad-'))
    env = {
      ...process.env,
      NAVARCH_DATA_DIR: join(base, 'data'),
      KUBECONFIG: join(base, 'kubeconfig'),
      NODE_EXTRA_CA_CERTS: '',
    }
  })
  after(() => {
    navarch('delete', '--yes')
    rmSync(base, { recursive: true, force: true })
  })

  test('a plugin that nobody knows is told of before anything is started', () => {
    const { code, text } = up('--enable-admission-plugins=Nothing')
    assert.equal(code, 1)
    assert.match(text, /plugin "Nothing" is unknown\n +Check --enable-admission-plugins/)
    assert.doesNotMatch(text, /Certificates|Container runtime/)
  })

  test('an unknown command and an unknown flag name the nearest one', () => {
    assert.deepEqual(navarch('stauts').code, 2)
    assert.match(navarch('stauts').text, /Unknown command stauts; did you mean status\?/)
    assert.match(navarch('up', '--prot', '1').text, /Unknown flag --prot; did you mean --port\?/)
    assert.match(
      navarch('up', '--port', 'ten').text,
      /--port must be a whole number from 0 to 65535, not "ten"/,
    )
    assert.match(navarch('up', '--pod-cidr', '10.0.0.0').text, /--pod-cidr must be an IPv4 range/)
  })

  test('without a cluster, each command says so and how to get one', () => {
    assert.match(navarch('status').text, /No cluster runs from .*Start one: navarch up/)
    assert.match(navarch('kubeconfig').text, /Start one: navarch up/)
    assert.equal(navarch('down').code, 0)
  })

  test('a port that is taken is named, and nothing is left running', async () => {
    const port = await freePort()
    const other = createServer().listen(port, '0.0.0.0')
    await once(other, 'listening')
    try {
      const ran = up(`--port=${port}`)
      assert.equal(ran.code, 1)
      assert.match(ran.text, new RegExp(`[Pp]ort ${port} .*taken`))
      assert.match(ran.text, /--port/)
      assert.match(navarch('status').text, /No cluster runs/)
    } finally {
      other.close()
    }
  })

  test(
    'addresses that another network has are refused with ranges that are free',
    { skip: !isRoot },
    () => {
      const device = 'nvtaken0'
      const script = `ip link add ${device} type bridge && ip address add 10.250.7.1/24 dev ${device} && ip link set ${device} up`
      assert.equal(spawnSync('sh', ['-c', script]).status, 0)
      try {
        const ran = navarch(
          'up',
          '--node-name=node-1',
          '--port=0',
          '--pod-cidr=10.250.0.0/16',
          '--service-cidr=10.176.0.0/12',
        )
        assert.equal(ran.code, 1)
        assert.match(
          ran.text,
          /10\.250\.0\.0\/16 are in use on this machine: nvtaken0 has 10\.250\.7/,
        )
        assert.match(ran.text, /--pod-cidr 10\.24\d\.0\.0\/16 --service-cidr 10\.\d+\.0\.0\/12/)
        assert.match(navarch('status').text, /No cluster runs/)
      } finally {
        spawnSync('ip', ['link', 'delete', device])
      }
    },
  )

  test('up twice finds the first one; a second process on the same folder is refused', async () => {
    const port = await freePort()
    const ran = up(`--port=${port}`)
    assert.equal(ran.code, 0, ran.text)
    assert.match(up(`--port=${port}`).text, /runs already at/)
    const second = up('--foreground', `--port=${await freePort()}`)
    assert.equal(second.code, 1)
    assert.match(second.text, /already|another/i)
    assert.match(readFileSync(env['KUBECONFIG'] ?? '', 'utf8'), /current-context: navarch/)
    assert.equal(navarch('down').code, 0)
  })

  test('a folder of a newer version and one with other things in it are refused and left alone', () => {
    const newer = join(base, 'newer')
    mkdirSync(newer)
    writeFileSync(join(newer, 'version.json'), '{"layout":99,"version":"9.0.0","created":""}')
    assert.match(
      up(`--data-dir=${newer}`, '--port=0').text,
      /written by Navarch 9\.0\.0, which is newer/,
    )
    const mine = join(base, 'mine')
    mkdirSync(mine)
    writeFileSync(join(mine, 'thesis.tex'), 'x')
    assert.match(up(`--data-dir=${mine}`, '--port=0').text, /not empty and not a cluster's folder/)
    assert.match(
      navarch('delete', '--yes', `--data-dir=${mine}`).text,
      /is not a folder of Navarch/,
    )
    assert.ok(existsSync(join(mine, 'thesis.tex')))
  })

  test('a damaged store is told, with its path', () => {
    const damaged = join(base, 'damaged')
    assert.equal(up(`--data-dir=${damaged}`, '--port=0').code, 0)
    assert.equal(navarch('down', `--data-dir=${damaged}`).code, 0)
    const file = join(damaged, 'store', 'navarch.db')
    truncateSync(file, 5000)
    writeFileSync(file, Buffer.alloc(4096, 7), { flag: 'r+' })
    const ran = up(`--data-dir=${damaged}`, '--port=0')
    assert.equal(ran.code, 1)
    assert.match(ran.text, /damaged/)
    assert.ok(ran.text.includes('navarch.db'))
  })

  test('Ctrl-C in the middle of up leaves nothing running', async () => {
    const folder = join(base, 'interrupted')
    const child = spawn(
      process.execPath,
      [main, 'up', '--runtime=simulated', `--data-dir=${folder}`, '--port=0'],
      { env },
    )
    await eventually('it has begun', () => existsSync(join(folder, 'log', 'navarch.log')), 10_000)
    child.kill('SIGINT')
    const code = await new Promise<number | null>((resolve) => child.on('exit', resolve))
    // Either it was quicker than the signal, or it was interrupted and took its child along.
    if (code !== 0)
      await eventually(
        'nothing runs',
        () => navarch('status', `--data-dir=${folder}`).text.includes('No cluster runs'),
        10_000,
      )
    navarch('delete', '--yes', `--data-dir=${folder}`)
  })
})
