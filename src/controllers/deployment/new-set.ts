/** The ReplicaSet of the template as it is now: found, or made. */
import { replicaSets, type Deployment, type DeploymentCondition, type ReplicaSet } from '#api'
import { deployments } from '#api'
import type { Draft } from '#machinery'
import { controllerReference, create, update, type Action } from '../framework/index.ts'
import { HASH_LABEL, templateHash } from './hash.ts'
import {
  inherited,
  largest,
  newSetSize,
  ownAnnotations,
  REVISION,
  revisionOf,
  sameAnnotations,
  scaled,
  setRevision,
  withSizes,
} from './sets.ts'
import { conditionsOf, noDeadline, progressing, withCondition } from './status.ts'

export interface Prepared {
  readonly current: ReplicaSet | undefined
  readonly actions: readonly Action[]
  readonly conditions: readonly DeploymentCondition[]
}

/** Finds or makes the ReplicaSet of the template, with its revision; the Deployment's own revision follows it. */
export function prepare(
  deployment: Deployment,
  current: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
  now: Date,
  options: { readonly make: boolean },
): Prepared {
  const revision = largest(old.map(revisionOf)) + 1n
  const conditions = conditionsOf(deployment)
  if (current !== undefined) {
    const wanted = largest([revision, revisionOf(current)])
    const annotations = inherited(deployment, current, wanted)
    const minReadySeconds = deployment.spec.minReadySeconds ?? 0
    const differs =
      !sameAnnotations(current.metadata.annotations ?? {}, annotations) ||
      (current.spec.minReadySeconds ?? 0) !== minReadySeconds
    const actions: Action[] = []
    if (differs) {
      actions.push(
        update(replicaSets, {
          ...current,
          metadata: { ...current.metadata, annotations },
          spec: { ...current.spec, minReadySeconds },
        }),
      )
      return { current, actions, conditions }
    }
    if (revisionOf(deployment) !== wanted) actions.push(setRevision(deployment, wanted))
    const hasProgress = conditions.some(({ type }) => type === 'Progressing')
    return {
      current,
      actions,
      conditions:
        hasProgress || noDeadline(deployment)
          ? conditions
          : withCondition(
              conditions,
              progressing(
                'True',
                'FoundNewReplicaSet',
                `Found new replica set "${current.metadata.name}"`,
              ),
              now,
            ),
    }
  }
  if (!options.make) return { current, actions: [], conditions }
  const hash = templateHash(deployment.spec.template, deployment.status?.collisionCount)
  const { template, minReadySeconds } = deployment.spec
  const labelled = {
    ...template,
    metadata: {
      ...template.metadata,
      labels: { ...template.metadata?.labels, [HASH_LABEL]: hash },
    },
  }
  const name = `${deployment.metadata.name}-${hash}`
  const replicas = newSetSize(deployment, undefined, old)
  const draft: Draft<ReplicaSet> = {
    metadata: {
      name,
      namespace: deployment.metadata.namespace ?? '',
      labels: labelled.metadata.labels,
      annotations: withSizes(deployment, {
        ...ownAnnotations(deployment),
        [REVISION]: String(revision),
      }),
      ownerReferences: [controllerReference(deployments, deployment)],
    },
    spec: {
      replicas,
      ...(minReadySeconds === undefined ? {} : { minReadySeconds }),
      selector: {
        ...deployment.spec.selector,
        matchLabels: { ...deployment.spec.selector.matchLabels, [HASH_LABEL]: hash },
      },
      template: labelled as NonNullable<ReplicaSet['spec']['template']>,
    },
  }
  const actions: Action[] = [create(replicaSets, draft)]
  if (replicas > 0) actions.push(scaled(deployment, 'up', name, 0, replicas))
  if (revisionOf(deployment) !== revision) actions.push(setRevision(deployment, revision))
  return {
    current: undefined,
    actions,
    conditions: noDeadline(deployment)
      ? conditions
      : withCondition(
          conditions,
          progressing('True', 'NewReplicaSetCreated', `Created new replica set "${name}"`),
          now,
        ),
  }
}
