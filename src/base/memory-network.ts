/** A network without wires: listeners and sockets of one process. */
import { Duplex } from 'node:stream'
import type { Listener, Network, UdpSocket } from './env.ts'

/** Two ends of one pipe. */
export function duplexPair(): [Duplex, Duplex] {
  const make = (other: () => Duplex): Duplex =>
    new Duplex({
      read: () => undefined,
      write(chunk, _encoding, done) {
        other().push(chunk)
        done()
      },
      final(done) {
        other().push(null)
        done()
      },
      destroy(error, done) {
        if (!other().destroyed) other().destroy()
        done(error)
      },
    })
  const left: Duplex = make(() => right)
  const right: Duplex = make(() => left)
  return [left, right]
}

export function memoryNetwork(): Network {
  const listeners = new Map<string, (socket: Duplex) => void>()
  const sockets = new Map<
    string,
    (message: Uint8Array, from: { address: string; port: number }) => void
  >()
  let nextPort = 32_768
  const name = (target: { host: string; port: number } | { path: string }): string =>
    'path' in target ? target.path : `${target.host}:${target.port}`
  const find = <T>(table: Map<string, T>, host: string, port: number): T | undefined =>
    table.get(`${host}:${port}`) ?? table.get(`0.0.0.0:${port}`)
  return {
    addresses: () => [{ address: '127.0.0.1', family: 'IPv4', internal: true, device: 'lo' }],
    async connect(target) {
      const accept =
        'path' in target ? listeners.get(target.path) : find(listeners, target.host, target.port)
      if (accept === undefined) {
        throw Object.assign(new Error(`connect ECONNREFUSED ${name(target)}`), {
          code: 'ECONNREFUSED',
        })
      }
      const [near, far] = duplexPair()
      queueMicrotask(() => accept(far))
      return near
    },
    async listen(target, onConnection): Promise<Listener> {
      const port = 'path' in target ? 0 : target.port === 0 ? nextPort++ : target.port
      const key = 'path' in target ? target.path : `${target.host}:${port}`
      if (listeners.has(key))
        throw Object.assign(new Error(`listen EADDRINUSE ${key}`), { code: 'EADDRINUSE' })
      listeners.set(key, onConnection)
      return { port, close: async () => void listeners.delete(key) }
    },
    async udp(target, onMessage): Promise<UdpSocket> {
      const port = target.port === 0 ? nextPort++ : target.port
      const key = `${target.host}:${port}`
      sockets.set(key, onMessage)
      return {
        port,
        send: (message, to) =>
          queueMicrotask(() =>
            find(sockets, to.address, to.port)?.(message, { address: target.host, port }),
          ),
        close: async () => void sockets.delete(key),
      }
    },
  }
}
