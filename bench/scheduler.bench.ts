/** How many pods a second the scheduler decides on at 5,000 nodes: decisions alone, without an API server. */
import type { PodSpec } from '#api'
import { realEnv } from '#base'
import { createScheduler } from '../src/scheduler/class-cache.ts'
import { info, node, noVolumes, setting } from '../src/scheduler/fixtures.ts'
import { defaultPlugins } from '../src/scheduler/plugins/index.ts'
import type { Figure } from './run.ts'

const { clock, random } = realEnv()
const NODES = 5000
const ZONE = 'topology.kubernetes.io/zone'

function measure(
  name: string,
  count: number,
  atLeast: number,
  spec: (at: number) => Partial<PodSpec>,
  isService = false,
): void {
  const nodes = Array.from({ length: NODES }, (_, at) =>
    node(`node-${at}`, {
      labels: { [ZONE]: `zone-${at % 3}` },
      allocatable: { cpu: '4', memory: '32Gi', pods: '110' },
    }),
  )
  const selectorFor = () => (isService ? { matchLabels: { app: 'web' } } : undefined)
  const { snapshot, framework } = setting(nodes, [], {
    plugins: defaultPlugins({ ...noVolumes, selectorFor }),
  })
  const scheduler = createScheduler({ snapshot, framework, random })
  const pods = Array.from({ length: count }, (_, at) =>
    info(`pod-${at}`, {
      labels: { app: 'web', color: `c${at % 100}` },
      requests: { cpu: '100m', memory: '500Mi' },
      spec: spec(at),
    }),
  )
  const start = clock.monotonic()
  let placed = 0
  for (const pod of pods) {
    const decision = scheduler.schedule(pod)
    if (decision.node === undefined) continue
    snapshot.place(pod, decision.node.name)
    placed++
  }
  const seconds = (clock.monotonic() - start) / 1000
  if (placed < count) console.error(`${name}: only ${placed} of ${count} were placed`)
  const figure: Figure = { name, value: count / seconds, unit: 'pods/s', budget: { atLeast } }
  console.log(JSON.stringify(figure))
}

const withContainers = (spec: Partial<PodSpec>): Partial<PodSpec> => ({
  containers: [
    { name: 'main', image: 'web:1', resources: { requests: { cpu: '100m', memory: '500Mi' } } },
  ],
  ...spec,
})
const term = (color: string, topologyKey: string) => ({
  topologyKey,
  labelSelector: { matchLabels: { color } },
})

measure('default pods', 30_000, 5000, () => withContainers({}))
measure('pods of a Service (default spreading)', 5000, 1000, () => withContainers({}), true)
measure('node affinity', 5000, 220, () =>
  withContainers({
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [
            { matchExpressions: [{ key: ZONE, operator: 'In', values: ['zone-1'] }] },
          ],
        },
      },
    },
  }),
)
measure('required anti-affinity', 5000, 1000, (at) =>
  withContainers({
    affinity: {
      podAntiAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: [
          term(`c${at % 100}`, 'kubernetes.io/hostname'),
        ],
      },
    },
  }),
)
measure('required affinity', 2000, 35, (at) =>
  withContainers({
    affinity: {
      podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term(`c${at % 100}`, ZONE)] },
    },
  }),
)
measure('preferred anti-affinity', 5000, 90, (at) =>
  withContainers({
    affinity: {
      podAntiAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [
          { weight: 1, podAffinityTerm: term(`c${at % 100}`, 'kubernetes.io/hostname') },
        ],
      },
    },
  }),
)
measure('topology spread', 5000, 1000, () =>
  withContainers({
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: ZONE,
        whenUnsatisfiable: 'DoNotSchedule',
        labelSelector: { matchLabels: { app: 'web' } },
      },
    ],
  }),
)
