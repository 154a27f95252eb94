/** Component statuses: an old list of the parts of the control plane and their health. */
import { defineResource } from '../define.ts'
import { componentStatuses as statusesRef } from '../resources.gen.ts'
import type { ComponentStatus } from '../types.gen.ts'

const healthOf = ({ conditions = [] }: ComponentStatus) =>
  conditions.find(({ type }) => type === 'Healthy')

export const componentStatuses = defineResource(statusesRef, {
  cells: {
    Status: (component) => {
      const health = healthOf(component)
      return health === undefined ? 'Unknown' : health.status === 'True' ? 'Healthy' : 'Unhealthy'
    },
    Message: (component) => healthOf(component)?.message ?? '',
    Error: (component) => healthOf(component)?.error ?? '',
  },
})
