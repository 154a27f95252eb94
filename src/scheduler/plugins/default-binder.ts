import { pods } from '#api'
import type { Client } from '#client'
import { definePlugin, success } from '../framework.ts'

/** Binds by the pod's binding subresource. */
export const defaultBinder = (client: Client) =>
  definePlugin({
    name: 'DefaultBinder',
    async bind({ pod: { metadata }, uid }, { name }, signal) {
      const { namespace = '' } = metadata
      await client.createSubresource(
        pods,
        { namespace, name: metadata.name },
        'binding',
        {
          apiVersion: 'v1',
          kind: 'Binding',
          metadata: { namespace, name: metadata.name, uid },
          target: { apiVersion: 'v1', kind: 'Node', name },
        },
        { signal, cause: `pod/${namespace}/${metadata.name}@${metadata.resourceVersion ?? ''}` },
      )
      return success
    },
  })
