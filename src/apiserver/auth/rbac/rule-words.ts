/** Words to write rules in: verbs, groups and resources as lists with spaces between. Each list is shown in the order of its letters. */
import type { PolicyRule } from '#api'

const words = (text: string): readonly string[] => text.split(' ').toSorted()

export const READ = 'get list watch'
export const READ_UPDATE = 'get list watch update patch'
export const WRITE = 'create update patch delete deletecollection'
export const READ_WRITE = 'get list watch create update patch delete deletecollection'

/** The core group is ''. */
export const on = (verbs: string, groups: string, resources: string, names = ''): PolicyRule => ({
  apiGroups: words(groups),
  ...(names === '' ? {} : { resourceNames: words(names) }),
  resources: words(resources),
  verbs: words(verbs),
})

export const url = (verbs: string, paths: string): PolicyRule => ({
  nonResourceURLs: words(paths),
  verbs: words(verbs),
})

/** `events` of both groups. */
export const events: PolicyRule = {
  apiGroups: ['', 'events.k8s.io'],
  resources: ['events'],
  verbs: ['create', 'patch', 'update'],
}
