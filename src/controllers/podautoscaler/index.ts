/** Gives workloads as many replicas as what they use asks for. Each autoscaler is looked at every 15 seconds. */
import {
  horizontalPodAutoscalers,
  pods,
  type HorizontalPodAutoscaler,
  type MetricStatus,
  type Pod,
} from '#api'
import { createEventRecorder, createWorkQueue } from '#client'
import {
  isStatus,
  keyOf,
  matchesLabels,
  parseLabelSelector,
  parseQuantity,
  type JsonObject,
} from '#machinery'
import { sameJson, type Controller, type ControllerContext } from '../framework/index.ts'
import { limit, noHistory, recommended, scaledTo, type History } from './limits.ts'
import { byName } from './metrics.ts'
import { MetricFailure, proposeBy, type Proposed } from './propose.ts'

const SYNC_MS = 15_000
const TOLERANCE = 0.1

type Status = NonNullable<HorizontalPodAutoscaler['status']>
type Condition = NonNullable<Status['conditions']>[number]
type ConditionType = 'AbleToScale' | 'ScalingActive' | 'ScalingLimited'

interface Scale {
  readonly metadata: { readonly name: string }
  readonly spec?: { readonly replicas?: number }
  readonly status?: { readonly replicas?: number; readonly selector?: string }
}

export const podAutoscalerController: Controller = { name: 'horizontal-pod-autoscaler', start }

/** One look at one autoscaler: what its status becomes. */
class Look {
  readonly #conditions: Map<string, Condition>
  readonly #now: string
  current: number
  desired: number
  metrics: readonly MetricStatus[]
  lastScaleTime: string | undefined

  constructor({ status }: HorizontalPodAutoscaler, now: string) {
    this.#conditions = new Map((status?.conditions ?? []).map((each) => [each.type, each]))
    this.#now = now
    this.current = status?.currentReplicas ?? 0
    this.desired = status?.desiredReplicas ?? 0
    this.metrics = status?.currentMetrics ?? []
    this.lastScaleTime = status?.lastScaleTime
  }

  say(type: ConditionType, status: 'True' | 'False', reason: string, message: string): void {
    const before = this.#conditions.get(type)
    const since = before?.status === status ? before.lastTransitionTime : undefined
    this.#conditions.set(type, {
      type,
      status,
      lastTransitionTime: since ?? this.#now,
      reason,
      message,
    })
  }

  status({ metadata, status }: HorizontalPodAutoscaler): Status {
    const generation = metadata.generation ?? status?.observedGeneration
    return {
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      ...(this.lastScaleTime === undefined ? {} : { lastScaleTime: this.lastScaleTime }),
      currentReplicas: this.current,
      desiredReplicas: this.desired,
      ...(this.metrics.length === 0 ? {} : { currentMetrics: this.metrics }),
      conditions: [...this.#conditions.values()],
    }
  }
}

function start({ client, informers, env, signal }: ControllerContext): void {
  const { clock } = env
  const log = env.log.for('controllers')
  const autoscalers = informers.informer(horizontalPodAutoscalers)
  const allPods = informers.informer(pods)
  const queue = createWorkQueue(env, { name: 'horizontalpodautoscaler', metrics: env.metrics })
  const events = createEventRecorder(client, env, { component: 'horizontal-pod-autoscaler' })
  const histories = new Map<string, History>()
  const plurals = new Map<string, string>()

  const pathOf = (apiVersion: string): string =>
    apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion || 'v1'}`
  const resourceOf = async (apiVersion: string, kind: string): Promise<string> => {
    const key = `${apiVersion} ${kind}`
    const known = plurals.get(key)
    if (known !== undefined) return known
    const list = (await client.transport.request({ method: 'GET', path: pathOf(apiVersion) })) as {
      readonly resources?: readonly { readonly name: string; readonly kind: string }[]
    }
    const found = list.resources?.find((each) => each.kind === kind && !each.name.includes('/'))
    if (found === undefined) throw new Error(`no matches for kind "${kind}" in "${apiVersion}"`)
    plurals.set(key, found.name)
    return found.name
  }

  const proposals = async (
    autoscaler: HorizontalPodAutoscaler,
    selector: string,
    currentReplicas: number,
  ): Promise<readonly (Proposed | MetricFailure)[]> => {
    const { namespace = '' } = autoscaler.metadata
    const { metrics = [], behavior } = autoscaler.spec
    const wanted = parseLabelSelector(selector)
    const own: readonly Pod[] = byName(
      allPods.list(namespace).filter(({ metadata }) => matchesLabels(wanted, metadata.labels)),
    )
    const tolerance = {
      up: toleranceOf(behavior?.scaleUp?.tolerance),
      down: toleranceOf(behavior?.scaleDown?.tolerance),
    }
    const nowMs = clock.now().getTime()
    const counting = { currentReplicas, pods: own, tolerance, nowMs }
    return Promise.all(
      metrics.map(async (spec) => {
        try {
          return await proposeBy(spec, {
            client,
            namespace,
            selector,
            pods: own,
            counting,
            resourceOf,
          })
        } catch (error) {
          if (error instanceof MetricFailure) return error
          throw error
        }
      }),
    )
  }

  const reconcile = async (key: string, autoscaler: HorizontalPodAutoscaler): Promise<void> => {
    const { metadata, spec } = autoscaler
    const { namespace = '' } = metadata
    const { apiVersion = '', kind, name } = spec.scaleTargetRef
    const { minReplicas = 1, maxReplicas } = spec
    const nowMs = clock.now().getTime()
    const look = new Look(autoscaler, stamp(clock.now()))
    const about = { ...autoscaler, apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler' }
    const warn = (reason: string, message: string): void =>
      events.event(about, 'Warning', reason, message)
    const mine = client.because(`horizontal-pod-autoscaler/${key}@${metadata.resourceVersion}`)
    const write = async (): Promise<void> => {
      const status = look.status(autoscaler)
      if (sameJson(status, autoscaler.status)) return
      await mine.updateStatus(horizontalPodAutoscalers, { ...autoscaler, status }, { signal })
    }

    let scale: Scale
    let path: string
    try {
      const resource = await resourceOf(apiVersion, kind)
      path = `${pathOf(apiVersion)}/namespaces/${namespace}/${resource}/${name}/scale`
      scale = (await mine.transport.request({ method: 'GET', path, signal })) as Scale
    } catch (error) {
      if (signal.aborted) return
      const why = error instanceof Error ? error.message : String(error)
      warn('FailedGetScale', why)
      look.say(
        'AbleToScale',
        'False',
        'FailedGetScale',
        `the HPA controller was unable to get the target's current scale: ${why}`,
      )
      await write()
      return
    }
    look.say(
      'AbleToScale',
      'True',
      'SucceededGetScale',
      "the HPA controller was able to get the target's current scale",
    )
    const current = scale.spec?.replicas ?? 0
    look.current = current
    let history = histories.get(key) ?? recommended(noHistory, current, nowMs)
    let desired = current
    let reason = ''

    if (current === 0 && minReplicas !== 0) {
      look.say(
        'ScalingActive',
        'False',
        'ScalingDisabled',
        'scaling is disabled since the replica count of the target is zero',
      )
      desired = 0
    } else if (current > maxReplicas) {
      reason = 'Current number of replicas above Spec.MaxReplicas'
      desired = maxReplicas
    } else if (current < minReplicas) {
      reason = 'Current number of replicas below Spec.MinReplicas'
      desired = minReplicas
    } else {
      const selector = scale.status?.selector ?? ''
      if (selector === '') {
        warn('SelectorRequired', 'selector is required')
        warn('FailedComputeMetricsReplicas', 'selector is required')
        look.say(
          'ScalingActive',
          'False',
          'InvalidSelector',
          "the HPA target's scale is missing a selector",
        )
        await write()
        return
      }
      const answers = await proposals(autoscaler, selector, current)
      const failures = answers.filter((each) => each instanceof MetricFailure)
      const good = answers.filter((each): each is Proposed => !(each instanceof MetricFailure))
      const best = good.reduce<Proposed | undefined>(
        (top, each) => (top === undefined || each.replicas > top.replicas ? each : top),
        undefined,
      )
      for (const failure of failures) warn(failure.reason, failure.message)
      const [failure] = failures
      // One that says nothing may be the one that needs them.
      if (best === undefined || (failure !== undefined && best.replicas < current)) {
        if (failure === undefined) return
        const message = `invalid metrics (${failures.length} invalid out of ${answers.length}), first error is: ${failure.message}`
        look.say(
          'ScalingActive',
          'False',
          failure.reason,
          `the HPA was unable to compute the replica count: ${failure.message}`,
        )
        warn('FailedComputeMetricsReplicas', message)
        await write()
        return
      }
      look.metrics = good.map(({ status }) => status)
      look.say(
        'ScalingActive',
        'True',
        'ValidMetricFound',
        `the HPA was able to successfully calculate a replica count from ${best.name}`,
      )
      const verdict = limit(spec, best.replicas, history, { current, nowMs })
      history = recommended(history, best.replicas, nowMs)
      look.say('AbleToScale', 'True', verdict.able.reason, verdict.able.message)
      const { status, reason: why, message } = verdict.limited
      look.say('ScalingLimited', status, why, message)
      desired = verdict.replicas
      reason = desired > current ? `${best.name} above target` : 'All metrics below target'
    }

    if (desired !== current) {
      const body = { ...scale, spec: { ...scale.spec, replicas: desired } } as unknown as JsonObject
      try {
        await mine.transport.request({ method: 'PUT', path, body, signal })
      } catch (error) {
        if (signal.aborted) return
        const why = error instanceof Error ? error.message : String(error)
        warn('FailedRescale', `New size: ${desired}; reason: ${reason}; error: ${why}`)
        look.say(
          'AbleToScale',
          'False',
          'FailedUpdateScale',
          `the HPA controller was unable to update the target scale: ${why}`,
        )
        await write()
        return
      }
      look.say(
        'AbleToScale',
        'True',
        'SucceededRescale',
        `the HPA controller was able to update the target scale to ${desired}`,
      )
      events.event(about, 'Normal', 'SuccessfulRescale', `New size: ${desired}; reason: ${reason}`)
      history = scaledTo(history, current, desired, nowMs)
      look.lastScaleTime = stamp(clock.now())
    }
    look.desired = desired
    histories.set(key, history)
    await write()
  }

  const work = async (key: string): Promise<void> => {
    const autoscaler = autoscalers.get(key)
    if (autoscaler === undefined) return void histories.delete(key)
    queue.addAfter(key, SYNC_MS)
    await reconcile(key, autoscaler)
  }
  const stop = autoscalers.onChange((current, old) => {
    const changed = current ?? old
    if (changed === undefined) return
    // Its own status tells it nothing.
    if (current !== undefined && old !== undefined && sameJson(current.spec, old.spec)) return
    queue.add(keyOf(changed))
  })
  signal.addEventListener('abort', stop, { once: true })

  void (async () => {
    try {
      await Promise.all([autoscalers.synced, allPods.synced])
    } catch {
      return
    }
    queue.run(work, {
      concurrency: 5,
      signal,
      onError: (key, error) => {
        if (!isStatus(error, 'Conflict') && !isStatus(error, 'NotFound'))
          log.info('Cannot look at an autoscaler, will try again', { key, error })
      },
    })
  })()
}

const stamp = (at: Date): string => `${at.toISOString().slice(0, 19)}Z`

function toleranceOf(quantity: string | undefined): number {
  const parsed = quantity === undefined ? undefined : parseQuantity(quantity)
  return parsed === undefined ? TOLERANCE : Number(parsed.nanos) / 1e9
}
