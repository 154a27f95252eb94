/** Plugins about pods that are off unless they are chosen. */
import type { Container, Pod, Toleration } from '#api'
import { notSupported, FieldPath, qualifiedName, type FieldError } from '#machinery'
import type { AdmissionPlugin, AdmissionRequest } from '../../admission.ts'
import { isAbout, objectOf, refuse, type Mutable } from '../words.ts'

const isOfPods = (request: AdmissionRequest): boolean =>
  isAbout(request, 'pods', ['CREATE', 'UPDATE'])

type Named = readonly [path: FieldPath, container: Mutable<Container>]

function containersOf({ spec }: Pick<Mutable<Pod>, 'spec'>): readonly Named[] {
  const path = FieldPath.of('spec')
  return (['initContainers', 'containers', 'ephemeralContainers'] as const).flatMap((field) =>
    ((spec?.[field] ?? []) as Mutable<Container>[]).map((container, i): Named => [
      path.child(field).index(i),
      container,
    ]),
  )
}

/** Whoever may run a pod must be able to pull its images: what lies on a node is not for everybody. */
export const alwaysPullImages: AdmissionPlugin = {
  name: 'AlwaysPullImages',
  handles: (request) => isOfPods(request) && !hasOldImages(request),
  mutate(request) {
    const pod = objectOf<Pod>(request)
    for (const [, container] of containersOf(pod)) container.imagePullPolicy = 'Always'
    for (const { image } of pod.spec?.volumes ?? [])
      if (image !== undefined) image.pullPolicy = 'Always'
  },
  validate(request) {
    const wrong = containersOf(objectOf<Pod>(request)).flatMap(
      ([path, { imagePullPolicy = '' }]): readonly FieldError[] =>
        imagePullPolicy === 'Always'
          ? []
          : [notSupported(path.child('imagePullPolicy'), imagePullPolicy, ['Always'])],
    )
    if (wrong.length > 0)
      throw refuse(request, wrong.map(({ field, detail }) => `${field}: ${detail}`).join(', '))
  },
}

/** An update that brings no image leaves the pod as it was. */
function hasOldImages(request: AdmissionRequest): boolean {
  if (request.operation !== 'UPDATE' || request.old === undefined) return false
  const imagesOf = (pod: Pick<Mutable<Pod>, 'spec'>) =>
    containersOf(pod).map(([, { image }]) => image)
  const before = new Set(imagesOf(request.old as unknown as Mutable<Pod>))
  return imagesOf(objectOf<Pod>(request)).every((image) => before.has(image))
}

const REQUESTS = 'requests.'
const isNative = (name: string): boolean => !name.includes('/') || name.includes('kubernetes.io/')

const isExtended = (name: string): boolean =>
  !isNative(name) && !name.startsWith(REQUESTS) && qualifiedName(REQUESTS + name).length === 0

/** Who asks for a device tolerates the taint that keeps others off the nodes that have it. */
export const extendedResourceToleration: AdmissionPlugin = {
  name: 'ExtendedResourceToleration',
  handles: isOfPods,
  mutate(request) {
    const { spec } = objectOf<Pod>(request)
    if (spec === undefined) return
    const names = new Set(
      [...(spec.containers ?? []), ...(spec.initContainers ?? [])].flatMap(({ resources }) =>
        Object.keys(resources?.requests ?? {}).filter(isExtended),
      ),
    )
    for (const key of [...names].toSorted()) {
      const wanted: Toleration = { key, operator: 'Exists', effect: 'NoSchedule' }
      const others = (spec.tolerations ?? []).filter((each) => !isSame(each, wanted))
      const known = (spec.tolerations ?? []).some((each) => isSame(each, wanted))
      if (!known) spec.tolerations = [...others, wanted]
    }
  },
}

const isSame = (a: Toleration, b: Toleration): boolean =>
  a.key === b.key && a.effect === b.effect && a.operator === b.operator && !a.value

const HOSTNAME = 'kubernetes.io/hostname'

/** Who will not have others near can say so for a node, and not for a whole zone. */
export const limitPodHardAntiAffinityTopology: AdmissionPlugin = {
  name: 'LimitPodHardAntiAffinityTopology',
  handles: isOfPods,
  validate(request) {
    const { spec } = objectOf<Pod>(request)
    const terms =
      spec?.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []
    const wide = terms.find(({ topologyKey }) => topologyKey !== HOSTNAME)
    if (wide !== undefined)
      throw refuse(
        request,
        `affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey ${wide.topologyKey} but only key ${HOSTNAME} is allowed`,
      )
  },
}
