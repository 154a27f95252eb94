import assert from 'node:assert/strict'
import { test } from 'node:test'
import { virtualEnv } from '#base'
import { ANNOTATION, type Runtime } from '../runtime.ts'
import { MemoryLogs } from '../simulated/logs.ts'
import { container, exited, pod } from '../testing/pods.ts'
import { PodView } from './view.ts'

test('last words are kept as long as their container', async () => {
  const ended = exited('app', 3, {
    logPath: '/logs/app/0.log',
    annotations: { [ANNOTATION.terminationMessagePolicy]: 'FallbackToLogsOnError' },
  })
  const logFiles = new MemoryLogs()
  logFiles.append(ended.logPath, '2026-01-01T00:00:00.000000000Z stderr F cannot go on\n')
  const runtime = { simulated: true, logFiles, containerStatus: async () => ended }
  const view = new PodView({
    context: {
      runtime: runtime as unknown as Runtime,
      env: virtualEnv(),
      volumeOptions: undefined as never,
    },
    pod: pod(),
    own: () => {},
    disown: () => {},
    publish: () => {},
    wakeIn: () => {},
  })
  view.setContainer(container('app'))
  await view.refresh(ended.id)
  assert.match(view.messages.get(ended.id) ?? '', /cannot go on/)
  view.dropContainer(ended.id)
  assert.equal(view.messages.size, 0)
})
