/** Services: a stable address for pods that come and go. */
import { NONE, labelsText } from '../../columns.ts'
import { defineResource } from '../../define.ts'
import { services as servicesRef } from '../../resources.gen.ts'
import { dropUnneeded, keepAllocated, mirrorClusterIPs } from './allocated.ts'
import { externalIP, portsText } from './columns.ts'
import { defaultService } from './defaults.ts'
import { HEADLESS } from './shape.ts'
import { validateService, validateUpdate } from './validate.ts'
import { serviceWarnings } from './warnings.ts'

export const services = defineResource(servicesRef, {
  defaults: defaultService,
  validate: validateService,
  validateUpdate,
  prepareForCreate({ spec }) {
    mirrorClusterIPs(spec, undefined)
  },
  prepareForUpdate({ spec }, old, { subresource }) {
    if (subresource !== '') return
    mirrorClusterIPs(spec, old.spec)
    keepAllocated(spec, old.spec)
    dropUnneeded(spec, old.spec)
  },
  fields: ({ spec }) => ({ 'spec.clusterIP': spec.clusterIP ?? '', 'spec.type': spec.type ?? '' }),
  warnings: serviceWarnings,
  cells: {
    Type: ({ spec }) => spec.type ?? '',
    'Cluster-IP': ({ spec }) =>
      spec.clusterIPs?.[0] ?? (spec.clusterIP === HEADLESS ? HEADLESS : NONE),
    'External-IP': externalIP,
    'Port(s)': ({ spec }) => portsText(spec.ports ?? []),
    Selector: ({ spec }) => labelsText(spec.selector),
  },
})
