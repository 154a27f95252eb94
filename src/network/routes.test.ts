import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Node } from '#api'
import { silentLogger, virtualEnv } from '#base'
import type { Change } from './follow.ts'
import { keepRoutes } from './routes.ts'

const node = (name: string, podCIDR: string, address: string): Node =>
  ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name },
    spec: { podCIDR },
    status: { addresses: [{ type: 'InternalIP', address }] },
  }) as unknown as Node

test('every other node has a route, that follows it and goes with it', async () => {
  const commands: string[] = []
  const virtual = virtualEnv()
  let failing = false
  const hops = new Map([['10.9.0.3', '10.9.0.3 via 10.0.0.254 dev eth0 src 10.0.0.1 uid 0 ']])
  const env = {
    clock: virtual.clock,
    log: silentLogger,
    process: {
      ...virtual.process,
      environment: {},
      run: async (command: readonly string[]) => {
        const words = command.join(' ')
        if (words.includes('route get'))
          return {
            code: 0,
            signal: undefined,
            stdout: hops.get(words.split(' ').at(-1) ?? '') ?? '',
            stderr: '',
          }
        commands.push(command.slice(2).join(' '))
        return { code: failing ? 2 : 0, signal: undefined, stdout: '', stderr: 'no way' }
      },
    },
  }
  const stop = new AbortController()
  let tell: (change: Change<Node>) => void = () => undefined
  await keepRoutes(
    {
      env,
      nodeName: 'n1',
      nodeIp: '10.0.0.1',
      nodes: async (onChange) => {
        tell = onChange
        onChange({ type: 'set', object: node('n1', '10.244.0.0/24', '10.0.0.1') })
        onChange({ type: 'set', object: node('n2', '10.244.1.0/24', '10.0.0.2') })
        onChange({ type: 'set', object: node('same-machine', '10.244.9.0/24', '10.0.0.1') })
      },
    },
    stop.signal,
  )
  assert.deepEqual(commands.splice(0), ['replace 10.244.1.0/24 via 10.0.0.2 proto 78'])
  failing = true
  tell({ type: 'set', object: node('n2', '10.244.1.0/24', '10.0.0.7') })
  await virtual.advance(0)
  failing = false
  await virtual.advance(6000)
  assert.deepEqual(commands.splice(0), [
    'replace 10.244.1.0/24 via 10.0.0.7 proto 78',
    'replace 10.244.1.0/24 via 10.0.0.7 proto 78',
  ])
  tell({ type: 'gone', object: node('n2', '10.244.1.0/24', '10.0.0.7') })
  await virtual.advance(0)
  assert.deepEqual(commands.splice(0), ['del 10.244.1.0/24'])
  tell({ type: 'set', object: node('far', '10.244.3.0/24', '10.9.0.3') })
  await virtual.advance(0)
  assert.deepEqual(commands, ['replace 10.244.3.0/24 via 10.0.0.254 proto 78'])
  stop.abort()
})
