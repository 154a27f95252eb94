/** The group apps: workloads whose pods are replaced when they go. */
import { controllerRevisions } from './controller-revision.ts'
import { daemonSets } from './daemon-set.ts'
import { deployments } from './deployment.ts'
import { replicaSets } from './replica-set.ts'
import { statefulSets } from './stateful-set.ts'

export const apps = [controllerRevisions, daemonSets, deployments, replicaSets, statefulSets]
