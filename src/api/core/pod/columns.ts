/** The table of pods: what became of them in one word, and what that was made of. */
import type { ContainerState, ContainerStatus, Pod } from '../../types.gen.ts'
import { ageOf } from '#machinery'
import { NONE } from '../../columns.ts'

interface Summary {
  readonly ready: number
  readonly total: number
  readonly status: string
  readonly restarts: number
  readonly lastRestart: string | undefined
}

const isFinished = (phase: string | undefined): boolean =>
  phase === 'Succeeded' || phase === 'Failed'
const hasCondition = (pod: Pod, type: string): boolean =>
  (pod.status?.conditions ?? []).some((each) => each.type === type && each.status === 'True')

/** Signal or exit code, for a container that gave no reason. */
function endOf({ terminated }: ContainerState): string {
  if (terminated === undefined) return ''
  if (terminated.reason !== undefined && terminated.reason !== '') return terminated.reason
  if (terminated.signal !== undefined && terminated.signal !== 0) {
    return `Signal:${terminated.signal}`
  }
  return `ExitCode:${terminated.exitCode}`
}

const later = (a: string | undefined, b: string | undefined): string | undefined =>
  a === undefined || (b !== undefined && b > a) ? b : a
const lastEnd = ({ lastState }: ContainerStatus): string | undefined =>
  lastState?.terminated?.finishedAt

/** What `kubectl get pods` says of a pod. */
function summarize(pod: Pod): Summary {
  const { spec, status, metadata } = pod
  const sidecars = new Set(
    (spec.initContainers ?? [])
      .filter(({ restartPolicy }) => restartPolicy === 'Always')
      .map(({ name }) => name),
  )
  const total = (spec.containers?.length ?? 0) + sidecars.size
  let text = status?.reason ?? status?.phase ?? ''
  if (status?.reason === '') text = status.phase ?? ''
  if (
    status?.conditions?.some(
      ({ type, reason }) => type === 'PodScheduled' && reason === 'SchedulingGated',
    ) === true
  ) {
    text = 'SchedulingGated'
  }

  const init = summarizeInit(pod, sidecars)
  let { ready, restarts, lastRestart } = init
  if (init.waitsFor !== undefined) text = init.waitsFor
  if (init.waitsFor === undefined || hasCondition(pod, 'Initialized')) {
    restarts = init.sidecarRestarts
    lastRestart = init.lastSidecarRestart
    let hasRunning = false
    for (const container of (status?.containerStatuses ?? []).toReversed()) {
      restarts += container.restartCount ?? 0
      lastRestart = later(lastRestart, lastEnd(container))
      const { waiting, terminated, running } = container.state ?? {}
      if (waiting?.reason !== undefined && waiting.reason !== '') text = waiting.reason
      else if (terminated) text = endOf(container.state ?? {})
      else if (container.ready && running) {
        hasRunning = true
        ready++
      }
    }
    // One container is done and another one still runs.
    if (text === 'Completed' && hasRunning) {
      text = hasCondition(pod, 'Ready') ? 'Running' : 'NotReady'
    }
  }
  if (metadata.deletionTimestamp !== undefined) {
    if (status?.reason === 'NodeLost') text = 'Unknown'
    else if (!isFinished(status?.phase)) text = 'Terminating'
  }
  return { ready, total, status: text, restarts, lastRestart }
}

function summarizeInit(pod: Pod, sidecars: ReadonlySet<string>) {
  let ready = 0
  let restarts = 0
  let sidecarRestarts = 0
  let lastRestart: string | undefined
  let lastSidecarRestart: string | undefined
  let waitsFor: string | undefined
  for (const [i, container] of (pod.status?.initContainerStatuses ?? []).entries()) {
    restarts += container.restartCount ?? 0
    lastRestart = later(lastRestart, lastEnd(container))
    const isSidecar = sidecars.has(container.name)
    if (isSidecar) {
      sidecarRestarts += container.restartCount ?? 0
      lastSidecarRestart = later(lastSidecarRestart, lastEnd(container))
    }
    const state = container.state ?? {}
    if (state.terminated?.exitCode === 0) continue
    if (isSidecar && container.started === true) {
      if (container.ready) ready++
      continue
    }
    const reason = state.waiting?.reason ?? ''
    if (state.terminated) waitsFor = `Init:${endOf(state)}`
    else if (reason !== '' && reason !== 'PodInitializing') waitsFor = `Init:${reason}`
    else waitsFor = `Init:${i}/${pod.spec.initContainers?.length ?? 0}`
    break
  }
  return { ready, restarts, sidecarRestarts, lastRestart, lastSidecarRestart, waitsFor }
}

/** The cells of one row are asked for one after the other. */
let last: { readonly pod: Pod; readonly summary: Summary } | undefined
function summaryOf(pod: Pod): Summary {
  if (last?.pod !== pod) last = { pod, summary: summarize(pod) }
  return last.summary
}

export const podCells = {
  Ready: (pod: Pod) => `${summaryOf(pod).ready}/${summaryOf(pod).total}`,
  Status: (pod: Pod) => summaryOf(pod).status,
  Restarts: (pod: Pod, now: Date) => {
    const { restarts, lastRestart } = summaryOf(pod)
    return restarts === 0 || lastRestart === undefined
      ? String(restarts)
      : `${restarts} (${ageOf(lastRestart, now)} ago)`
  },
  IP: ({ status }: Pod) => orNone(status?.podIPs?.[0]?.ip ?? status?.podIP),
  Node: ({ spec }: Pod) => orNone(spec.nodeName),
  'Nominated Node': ({ status }: Pod) => orNone(status?.nominatedNodeName),
  'Readiness Gates': (pod: Pod) => {
    const gates = pod.spec.readinessGates ?? []
    if (gates.length === 0) return NONE
    const passed = gates.filter(({ conditionType }) => hasCondition(pod, conditionType))
    return `${passed.length}/${gates.length}`
  },
}

const orNone = (text: string | undefined): string =>
  text === undefined || text === '' ? NONE : text
