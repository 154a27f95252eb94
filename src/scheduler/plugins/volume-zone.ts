import { definePlugin, skip, success, unresolvable } from '../framework.ts'
import { claimNamesOf, type VolumeLister } from './volumes.ts'

const ZONE = 'topology.kubernetes.io/zone'
const REGION = 'topology.kubernetes.io/region'
/** Labels of volumes of old, by what they are called now. */
const PLACES: ReadonlyMap<string, string> = new Map([
  [ZONE, ZONE],
  [REGION, REGION],
  ['failure-domain.beta.kubernetes.io/zone', ZONE],
  ['failure-domain.beta.kubernetes.io/region', REGION],
])
/** A volume of several zones names them all: `a__b`. */
const BETWEEN = '__'
const ELSEWHERE = unresolvable('node(s) had no available volume zone')

interface Place {
  readonly label: string
  readonly values: ReadonlySet<string>
}

/** Keeps pods in the zone and region that the labels of their volumes name, where nodes have such labels at all. */
export const volumeZone = (volumes: VolumeLister) =>
  definePlugin<readonly Place[]>({
    name: 'VolumeZone',
    retryOn: ['volume', 'node/add', 'node/labels'],
    preFilter({ pod, namespace }) {
      const places: Place[] = []
      for (const name of claimNamesOf(pod)) {
        const bound = volumes.claim(namespace, name)?.spec?.volumeName ?? ''
        const volume = bound === '' ? undefined : volumes.volume(bound)
        for (const [label, value] of Object.entries(volume?.metadata.labels ?? {}))
          if (PLACES.has(label)) places.push({ label, values: new Set(value.split(BETWEEN)) })
      }
      return places.length === 0 ? skip : { state: places }
    },
    filter(_pod, { labels }, places) {
      const isPlaced = [...PLACES.keys()].some((label) => label in labels)
      const isThere = ({ label, values }: Place): boolean =>
        values.has(labels[label] ?? labels[PLACES.get(label) ?? ''] ?? '')
      return !isPlaced || places.every(isThere) ? success : ELSEWHERE
    },
  })
