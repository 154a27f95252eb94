import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { createServer, type AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('../conformance/images/dig.mjs', import.meta.url))
const dig = (port: number, ...args: string[]): Promise<string> =>
  new Promise((resolve, reject) => {
    execFile(process.execPath, [program, '@127.0.0.1', '-p', `${port}`, ...args], (error, stdout) =>
      error === null ? resolve(stdout) : reject(error),
    )
  })

/** An answer that has one record of 30 seconds, its name a pointer to the question. */
function answer(query: Buffer, type: number, data: Buffer): Buffer {
  const record = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 30, 0, data.length])
  const message = Buffer.concat([query, record, data])
  message.writeUInt16BE(0x8180, 2)
  message.writeUInt16BE(1, 6)
  return message
}

async function udpServer(t: TestContext, type: number, data: Buffer): Promise<number> {
  const socket = createSocket('udp4')
  socket.on('message', (query, from) =>
    socket.send(answer(query, type, data), from.port, from.address),
  )
  await new Promise<void>((resolve) => {
    socket.bind(0, '127.0.0.1', resolve)
  })
  t.after(() => socket.close())
  return socket.address().port
}

void test('the stand-in for dig shows an address as dig does, over UDP', async (t) => {
  const port = await udpServer(t, 1, Buffer.from([10, 96, 0, 1]))
  assert.equal(
    await dig(port, '+notcp', '+noall', '+answer', 'kubernetes.default.svc', 'A'),
    'kubernetes.default.svc.\t30\tIN\tA\t10.96.0.1\n',
  )
  assert.equal(await dig(port, '+short', 'kubernetes.default.svc'), '10.96.0.1\n')
})

void test('the stand-in for dig shows the target of a service record', async (t) => {
  const target = Buffer.from('\0\0\0\x64\0\x50\x03web\xc0\x0c', 'latin1')
  const port = await udpServer(t, 33, target)
  assert.equal(await dig(port, '+short', '_http._tcp.x', 'SRV'), '0 100 80 web._http._tcp.x.\n')
})

void test('the stand-in for dig asks over TCP when it is told to', async (t) => {
  const server = createServer((socket) => {
    socket.on('data', (framed: Buffer) => {
      const message = answer(Buffer.from(framed.subarray(2)), 1, Buffer.from([10, 0, 0, 7]))
      socket.end(Buffer.concat([Buffer.from([0, message.length]), message]))
    })
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  assert.equal(await dig(port, '+tcp', '+short', 'web.default.svc'), '10.0.0.7\n')
})
