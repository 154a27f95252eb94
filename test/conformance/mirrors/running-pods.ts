/** [sig-node] What is done to a pod that runs: commands and logs over WebSocket, containers for debugging, images as volumes. */
import assert from 'node:assert/strict'
import type { Json } from '../api.ts'
import { createPod, execIn, podNow, podOf, printed, running, shell } from '../containers.ts'
import { mirror, type Fixture } from '../mirror.ts'
import { change, KITTEN } from '../support.ts'
import { messagesOf } from '../websocket.ts'

const CONFORMANCE = '[Conformance] [NodeConformance]'

const runningShell = async (fixture: Fixture, line: string, spec: Json = {}): Promise<string> => {
  const { metadata } = (await createPod(fixture, podOf(fixture, shell(line), { spec }))) as {
    metadata: Json
  }
  const name = String(metadata['name'])
  await running(fixture, name)
  return name
}

mirror(
  `[sig-node] Pods should support remote command execution over websockets ${CONFORMANCE}`,
  async (fixture) => {
    const { api, ns } = fixture
    const name = await runningShell(fixture, 'echo container is alive; sleep 600')
    const query = new URLSearchParams([
      ['stderr', '1'],
      ['stdout', '1'],
      ['container', 'test-container'],
      ['command', 'echo'],
      ['command', 'remote execution test'],
    ])
    const { protocol, messages } = await messagesOf(
      api,
      ns(`pods/${name}/exec`),
      query,
      'channel.k8s.io',
    )
    assert.equal(protocol, 'channel.k8s.io')
    // Other channels may open with an empty message, and say nothing.
    for (const [channel, ...text] of messages)
      assert.ok(channel === 1 || text.length === 0, `channel ${channel} said something`)
    const output = messages
      .filter(([channel]) => channel === 1)
      .map((message) => message.subarray(1).toString())
    assert.equal(output.join(''), 'remote execution test\n')
  },
)

mirror(
  `[sig-node] Pods should support retrieving logs from the container over websockets ${CONFORMANCE}`,
  async (fixture) => {
    const { api, ns } = fixture
    const name = await runningShell(fixture, 'echo container is alive; sleep 600')
    await printed(fixture, name, 'test-container', 'alive')
    const { protocol, messages } = await messagesOf(
      api,
      ns(`pods/${name}/log`),
      new URLSearchParams({ container: 'test-container' }),
      'binary.k8s.io',
    )
    assert.equal(protocol, 'binary.k8s.io')
    assert.equal(Buffer.concat(messages).toString(), 'container is alive\n')
  },
)

const ephemeral = (text: string): string => `[sig-node] Ephemeral Containers ${text} ${CONFORMANCE}`

const runs = (fixture: Fixture, pod: string, name: string): Promise<Json> =>
  fixture.until(`${name} runs`, async () => {
    const { status } = (await podNow(fixture, pod)) as { status: Json }
    const found = status['ephemeralContainerStatuses']?.find((each: Json) => each['name'] === name)
    return found?.state.running !== undefined && (found as Json)
  })

mirror(ephemeral('will start an ephemeral container in an existing pod'), async (fixture) => {
  const { api, ns } = fixture
  const name = await runningShell(fixture, 'echo marco; sleep 600')
  const debugging = {
    ...shell('while true; do echo polo; sleep 2; done', { name: 'debugger' }),
    stdin: true,
    tty: true,
    targetContainerName: 'test-container',
  }
  const patched = await api.patch(
    ns(`pods/${name}/ephemeralcontainers`),
    { spec: { ephemeralContainers: [debugging] } },
    'strategic-merge',
  )
  assert.equal(patched['spec'].ephemeralContainers[0].name, 'debugger')
  await runs(fixture, name, 'debugger')
  await printed(fixture, name, 'debugger', 'polo')
  // It sees the processes of the container that it targets.
  const processes = await execIn(fixture, name, ['ps'], 'debugger')
  assert.match(processes, /sleep 600/)
})

mirror(ephemeral('should update the ephemeral containers in an existing pod'), async (fixture) => {
  const { api, ns } = fixture
  const name = await runningShell(fixture, 'sleep 600')
  const path = ns(`pods/${name}/ephemeralcontainers`)
  const line = 'while true; do echo polo; sleep 2; done'
  await api.patch(
    path,
    { spec: { ephemeralContainers: [shell(line, { name: 'debugger1' })] } },
    'strategic-merge',
  )
  await runs(fixture, name, 'debugger1')
  assert.equal((await api.get(path))['spec'].ephemeralContainers.length, 1)
  const updated = await change(api, path, (pod) => {
    pod['spec'].ephemeralContainers.push(shell(line, { name: 'debugger2' }))
  })
  assert.deepEqual(
    updated['spec'].ephemeralContainers.map((each: Json) => each['name']),
    ['debugger1', 'debugger2'],
  )
  await runs(fixture, name, 'debugger2')
  await runs(fixture, name, 'debugger1')
  await printed(fixture, name, 'debugger2', 'polo')
  // What is there can neither change nor go.
  const now = await podNow(fixture, name)
  now['spec'].ephemeralContainers.pop()
  assert.equal((await api.call('PUT', path, { body: now })).status, 422)
})

mirror(
  '[sig-node] ImageVolume should succeed with pod and pull policy of Always [LinuxOnly] [MinimumKubeletVersion:1.35] [Conformance]',
  async (fixture) => {
    const volumes = [{ name: 'v', image: { reference: KITTEN, pullPolicy: 'Always' } }]
    const container = shell('sleep 600', { volumeMounts: [{ name: 'v', mountPath: '/volume' }] })
    const pod = podOf(fixture, container, { spec: { volumes } })
    const { metadata } = (await createPod(fixture, pod)) as { metadata: Json }
    const name = String(metadata['name'])
    await running(fixture, name)
    assert.match(await execIn(fixture, name, ['cat', '/volume/data.json']), /kitten\.jpg/)
    assert.match(await execIn(fixture, name, ['cat', '/volume/etc/os-release']), /alpine/i)
    const write = await fixture.kubectl(['exec', name, '--', 'touch', '/volume/new'])
    assert.match(write.errors, /Read-only file system/)
  },
)
