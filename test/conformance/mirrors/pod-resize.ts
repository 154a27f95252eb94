/** [sig-node] Containers that get more or less while they run: what the pod says, and what the kernel was told. */
import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import type { Json } from '../api.ts'
import { createPod, execIn, podNow, podOf, running, shell } from '../containers.ts'
import { mirror, type Fixture } from '../mirror.ts'
import { change } from '../support.ts'

const resizing = (text: string): string =>
  `[sig-node] Pod InPlace Resize Container ${text} [MinimumKubeletVersion:1.34] [Conformance]`

interface Amounts {
  readonly cpu?: string
  readonly memory?: string
}
interface Sized {
  readonly name: string
  readonly requests?: Amounts
  readonly limits?: Amounts
  readonly resizePolicy?: readonly Json[]
}

const resourcesOf = ({ requests, limits }: Sized): Json => ({
  ...(requests === undefined ? {} : { requests }),
  ...(limits === undefined ? {} : { limits }),
})

const containerOf = (sized: Sized): Json =>
  shell('grep Cpus_allowed_list /proc/self/status | cut -f2 && sleep 1d', {
    name: sized.name,
    resources: resourcesOf(sized),
    ...(sized.resizePolicy === undefined ? {} : { resizePolicy: sized.resizePolicy }),
  })

const UNITS: Readonly<Record<string, number>> = { '': 1, m: 0.001, Ki: 2 ** 10, Mi: 2 ** 20 }
const amount = (text: string): number => {
  const [, digits = '', unit = ''] = /^([\d.]+)(\D*)$/.exec(text) ?? []
  return Number(digits) * (UNITS[unit] ?? Number.NaN)
}

/** Amounts are compared as they are written: clients in Go compare how a quantity was parsed. */
const sameAmounts = (got: Json | undefined, wanted: Json): boolean =>
  got !== undefined && isDeepStrictEqual(got, wanted)

/** In microseconds of each 100 ms; undefined for as much as there is. */
const quotaOf = ({ limits }: Sized): number | undefined =>
  limits?.cpu === undefined ? undefined : Math.max(1000, Math.round(amount(limits.cpu) * 100_000))

const sharesOf = ({ requests, limits }: Sized): number =>
  Math.max(
    2,
    Math.trunc((Math.round(amount(requests?.cpu ?? limits?.cpu ?? '0') * 1000) * 1024) / 1000),
  )

/** What the container's own cgroup files say, of either version of cgroups. */
async function bounds(fixture: Fixture, pod: string, container: string) {
  const line = `cd /sys/fs/cgroup
if [ -e cgroup.controllers ]; then cat cpu.max memory.max cpu.weight
else cat cpu/cpu.cfs_quota_us memory/memory.limit_in_bytes cpu/cpu.shares; fi`
  const text = await execIn(fixture, pod, ['sh', '-c', line], container)
  const [quota = '', memory = '', weight = ''] = text.trim().split('\n')
  const isV2 = quota.includes(' ')
  const [max = ''] = quota.split(' ')
  return {
    quota: max === 'max' || max === '-1' ? undefined : Number(max),
    // The older kernels' word for no limit is a number beyond all memory.
    memory: memory === 'max' || Number(memory) > 2 ** 60 ? undefined : Number(memory),
    weight: Number(weight),
    isV2,
  }
}

/** Versions of the runtimes differ in how they turn shares into a weight: the old straight line, and a curve. */
const weightsOf = (shares: number): readonly number[] => {
  const line = Math.trunc(1 + ((shares - 2) * 9999) / 262_142)
  const l = Math.log2(shares)
  return [line, Math.ceil(10 ** (l ** 2 / 612 + (125 * l) / 612 - 7 / 34))]
}

async function holdsFor(fixture: Fixture, pod: string, wanted: readonly Sized[]): Promise<void> {
  const settled = await fixture.until(
    'the pod has been resized',
    async () => {
      const now = await podNow(fixture, pod)
      const resizing = now['status'].conditions.some((c: Json) =>
        ['PodResizePending', 'PodResizeInProgress'].includes(c['type']),
      )
      const fits = wanted.every((each) => {
        const status = now['status'].containerStatuses.find(
          ({ name }: Json) => name === each.name,
        ) as Json
        return (
          status['state'].running !== undefined &&
          sameAmounts(status['resources'], resourcesOf(each))
        )
      })
      return !resizing && fits && now
    },
    120_000,
  )
  for (const each of wanted) {
    const spec = settled['spec'].containers.find(({ name }: Json) => name === each.name) as Json
    assert.ok(
      sameAmounts(spec['resources'], resourcesOf(each)),
      `${each.name}: ${JSON.stringify(spec['resources'])}`,
    )
    const found = await bounds(fixture, pod, each.name)
    assert.equal(found.quota, quotaOf(each), `cpu quota of ${each.name}`)
    const { limits } = each
    assert.equal(
      found.memory,
      limits?.memory === undefined ? undefined : amount(limits.memory),
      `memory of ${each.name}`,
    )
    const shares = sharesOf(each)
    assert.ok(
      (found.isV2 ? weightsOf(shares) : [shares]).includes(found.weight),
      `cpu weight ${found.weight} of ${each.name}, for ${shares} shares`,
    )
  }
}

async function resizes(
  fixture: Fixture,
  before: readonly Sized[],
  after: readonly Sized[],
  how: 'patch' | 'replace' = 'patch',
  {
    restarts = {},
    back = false,
  }: { readonly restarts?: Readonly<Record<string, number>>; readonly back?: boolean } = {},
): Promise<string> {
  const { api, ns } = fixture
  const pod = podOf(fixture, before.map(containerOf), { spec: { restartPolicy: 'OnFailure' } })
  const { metadata } = (await createPod(fixture, pod)) as { metadata: Json }
  const name = String(metadata['name'])
  await running(fixture, name)
  await holdsFor(fixture, name, before)
  const resize = async (to: readonly Sized[]): Promise<void> => {
    const path = ns(`pods/${name}`)
    if (how === 'patch')
      await api.patch(
        `${path}/resize`,
        {
          spec: {
            containers: to.map((each) => ({ name: each.name, resources: resourcesOf(each) })),
          },
        },
        'strategic-merge',
      )
    else
      await change(
        api,
        path,
        (object) => {
          for (const container of object['spec'].containers) {
            const wanted = to.find((each) => each.name === container.name)
            if (wanted !== undefined) container.resources = resourcesOf(wanted)
          }
        },
        `${path}/resize`,
      )
    await holdsFor(fixture, name, to)
  }
  await resize(after)
  const now = await podNow(fixture, name)
  for (const status of now['status'].containerStatuses)
    assert.equal(
      status['restartCount'],
      restarts[status['name']] ?? 0,
      `restarts of ${status.name}`,
    )
  if (back) await resize(before)
  return name
}

mirror(resizing('resize pod via the replace endpoint'), async (fixture) => {
  const { api, ns } = fixture
  const name = await resizes(
    fixture,
    [{ name: 'c1', requests: { cpu: '20m', memory: '20Mi' } }],
    [{ name: 'c1', requests: { cpu: '25m', memory: '25Mi' } }],
    'replace',
  )
  // The whole pod, at its own path and at this one.
  await fixture.until('both paths show the same', async () => {
    const main = await podNow(fixture, name)
    assert.equal(main['metadata'].generation, 2)
    return isDeepStrictEqual(main, await api.get(ns(`pods/${name}/resize`)))
  })
})

mirror(resizing('burstable pods - extended resize with equivalents'), async (fixture) => {
  const before = [{ name: 'c1', requests: { cpu: '2m' }, limits: { cpu: '10m' } }]
  // Too little for the kernel to tell apart: nothing changes there, and the pod says the new amounts.
  const after = [{ name: 'c1', requests: { cpu: '1m' }, limits: { cpu: '5m' } }]
  await resizes(fixture, before, after, 'patch', { back: true })
})

mirror(
  resizing(
    'burstable pods - extended 6 containers - various operations performed (including adding limits and requests)',
  ),
  async (fixture) => {
    const restart = [
      { resourceName: 'cpu', restartPolicy: 'RestartContainer' },
      { resourceName: 'memory', restartPolicy: 'RestartContainer' },
    ]
    const before: readonly Sized[] = [
      { name: 'c1', requests: { cpu: '20m' } },
      { name: 'c2', requests: { memory: '20Mi' } },
      { name: 'c3', requests: { cpu: '20m', memory: '20Mi' } },
      { name: 'c4', requests: { cpu: '20m' } },
      { name: 'c5', requests: { memory: '20Mi' } },
      {
        name: 'c6',
        requests: { cpu: '20m', memory: '20Mi' },
        limits: { cpu: '30m', memory: '30Mi' },
        resizePolicy: restart,
      },
    ]
    const after: readonly Sized[] = [
      // A limit that was not there.
      { name: 'c1', requests: { cpu: '25m' }, limits: { cpu: '35m' } },
      { name: 'c2', requests: { memory: '15Mi' }, limits: { memory: '35Mi' } },
      // Less of one.
      { name: 'c3', requests: { cpu: '20m', memory: '15Mi' } },
      // Requests that were not there.
      { name: 'c4', requests: { cpu: '15m', memory: '20Mi' } },
      { name: 'c5', requests: { cpu: '20m', memory: '25Mi' } },
      // Less, by a restart.
      {
        name: 'c6',
        requests: { cpu: '15m', memory: '15Mi' },
        limits: { cpu: '25m', memory: '25Mi' },
        resizePolicy: restart,
      },
    ]
    await resizes(fixture, before, after, 'patch', { restarts: { c6: 1 } })
  },
)
