/** Pods whose containers really run: what they print and how they end. */
import assert from 'node:assert/strict'
import type { Json } from './api.ts'
import type { Fixture } from './mirror.ts'
import { kubectl } from './kubectl.ts'
import { AGNHOST, BUSYBOX } from './support.ts'

/** What is waited for: five minutes, as the official suite does for a pod; less where only our own cluster is judged. */
const podMs = ({ profile }: Fixture): number => (profile === 'stock' ? 300_000 : 60_000)

export interface Container extends Json {
  readonly command?: readonly string[]
  readonly args?: readonly string[]
}

/** A container of the many-purpose image. */
export const agnhost = (args: readonly string[], more: Json = {}): Json => ({
  name: 'agnhost-container',
  image: AGNHOST,
  args,
  ...more,
})

/** A container that runs a line of shell. */
export const shell = (line: string, more: Json = {}): Json => ({
  name: 'test-container',
  image: BUSYBOX,
  command: ['sh', '-c', line],
  ...more,
})

export interface PodOptions {
  readonly spec?: Json
  readonly metadata?: Json
}

export const podOf = (
  fixture: Fixture,
  containers: Json | readonly Json[],
  { spec = {}, metadata = {} }: PodOptions = {},
): Json => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: fixture.unique('pod'), ...metadata },
  spec: {
    restartPolicy: 'Never',
    terminationGracePeriodSeconds: 0,
    containers: Array.isArray(containers) ? containers : [containers],
    ...spec,
  },
})

/** A simulated node runs nothing: what asks for output or exit codes cannot be judged there. */
export async function needsContainers({ api, skip }: Fixture): Promise<void> {
  const nodes = await api.get('/api/v1/nodes')
  // One that a mirror has made up has no version, and runs nothing either.
  const real = nodes['items'].some((node: Json) => {
    const version = String(node['status']?.nodeInfo?.containerRuntimeVersion ?? '')
    return version !== '' && !/^(navarch-)?simulated:/.test(version)
  })
  if (!real) skip('no node of this cluster runs real containers')
}

export async function createPod(fixture: Fixture, pod: Json): Promise<Json> {
  await needsContainers(fixture)
  return fixture.api.post(fixture.ns('pods'), pod)
}

export const podNow = ({ api, ns }: Fixture, name: string): Promise<Json> =>
  api.get(ns(`pods/${name}`))

const phase = (pod: Json): string => String(pod['status'].phase)

/** Waits until the pod has succeeded or failed. */
export async function finished(fixture: Fixture, name: string): Promise<Json> {
  return fixture.until(
    `pod ${name} has ended`,
    async () => {
      const pod = await podNow(fixture, name)
      return (phase(pod) === 'Succeeded' || phase(pod) === 'Failed') && pod
    },
    podMs(fixture),
  )
}

export async function running(fixture: Fixture, name: string, ready = true): Promise<Json> {
  return fixture.until(
    `pod ${name} runs`,
    async () => {
      const pod = await podNow(fixture, name)
      const isReady = pod['status'].conditions?.some(
        (each: Json) => each['type'] === 'Ready' && each['status'] === 'True',
      )
      assert.ok(phase(pod) !== 'Failed', `pod ${name} failed: ${JSON.stringify(pod['status'])}`)
      return phase(pod) === 'Running' && (!ready || isReady === true) && pod
    },
    podMs(fixture),
  )
}

export async function logsOf(
  { api, ns }: Fixture,
  name: string,
  query: Readonly<Record<string, string | number | boolean>> = {},
): Promise<string> {
  const answer = await api.call('GET', ns(`pods/${name}/log`), { query })
  assert.equal(answer.status, 200, answer.text)
  return answer.text
}

/** Runs the pod to its end; it must succeed. Gives what each container printed, by name. */
export async function outputsOf(
  fixture: Fixture,
  pod: Json,
): Promise<Readonly<Record<string, string>>> {
  const created = await createPod(fixture, pod)
  const { name } = created['metadata']
  const done = await finished(fixture, name)
  const outputs: Record<string, string> = {}
  for (const { name: container } of done['spec'].containers)
    outputs[container] = await logsOf(fixture, name, { container })
  assert.equal(
    done['status'].phase,
    'Succeeded',
    `${JSON.stringify(done['status'].containerStatuses)}\n${JSON.stringify(outputs)}`,
  )
  return outputs
}

/** Runs the pod to its end and looks for each text in what its first container printed. */
export async function prints(
  fixture: Fixture,
  pod: Json,
  ...expected: readonly (string | RegExp)[]
): Promise<string> {
  const [output = ''] = Object.values(await outputsOf(fixture, pod))
  for (const each of expected)
    if (typeof each === 'string')
      assert.ok(output.includes(each), `${JSON.stringify(each)} is not in:\n${output}`)
    else assert.match(output, each)
  return output
}

/** Waits until a running container has printed the text. */
export const printed = (
  fixture: Fixture,
  name: string,
  container: string,
  text: string,
): Promise<string> =>
  fixture.until(
    `${container} prints ${JSON.stringify(text)}`,
    async () => {
      // Not yet started: 400.
      const answer = await fixture.api.call('GET', fixture.ns(`pods/${name}/log`), {
        query: { container },
      })
      return answer.status === 200 && answer.text.includes(text) && answer.text
    },
    podMs(fixture),
  )

/** Runs a command in a running container; it must succeed. */
export const execIn = (
  fixture: Fixture,
  name: string,
  command: readonly string[],
  container?: string,
): Promise<string> =>
  kubectl(fixture, [
    'exec',
    name,
    ...(container === undefined ? [] : ['-c', container]),
    '--',
    ...command,
  ])

/** The status of one container. */
export const statusOf = (pod: Json, container: string): Json | undefined =>
  pod['status'].containerStatuses?.find(({ name }: Json) => name === container)
