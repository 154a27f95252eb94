/** Keeps the status of validating policies: which generation was looked at, and what looks wrong in it. */
import { validatingAdmissionPolicies, type ValidatingAdmissionPolicy } from '#api'
import type { Env } from '#base'
import { createWorkQueue, type Transport } from '#client'
import { isStatus } from '#machinery'
import type { ServerInside } from '../../inside.ts'
import { typeWarnings } from './type-check.ts'

const PATH = '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies'

/** Checks the expressions of policies against the types they are about, and says in their status what is wrong. */
export function followPolicies({
  inside,
  transport,
  env,
  signal,
}: {
  readonly inside: Pick<ServerInside, 'read' | 'definitions'>
  /** With the identity of the API server. */
  readonly transport: Transport
  readonly env: Pick<Env, 'clock' | 'log'>
  readonly signal: AbortSignal
}): void {
  const { read } = inside
  const queue = createWorkQueue(env)
  queue.run(
    async (name) => {
      const policy = read.get(validatingAdmissionPolicies, '', name)
      if (policy !== undefined && isNew(policy)) await write(policy)
    },
    {
      concurrency: 1,
      signal,
      onError: (name, error) => env.log.warn('Cannot check the types of a policy', { name, error }),
    },
  )
  const write = async (policy: ValidatingAdmissionPolicy): Promise<void> => {
    const { name, generation = 0 } = policy.metadata
    const expressionWarnings = typeWarnings(inside, policy)
    try {
      await transport.request({
        method: 'PUT',
        path: `${PATH}/${encodeURIComponent(name)}/status`,
        body: {
          ...policy,
          apiVersion: 'admissionregistration.k8s.io/v1',
          kind: 'ValidatingAdmissionPolicy',
          status: {
            ...policy.status,
            observedGeneration: generation,
            typeChecking: expressionWarnings.length === 0 ? {} : { expressionWarnings },
          },
        },
        cause: `validatingadmissionpolicy-status/${name}`,
      })
    } catch (error) {
      // It has changed meanwhile: that brings it here again.
      if (!isStatus(error, 'Conflict') && !isStatus(error, 'NotFound')) throw error
    }
  }
  const stop = read.onChange(validatingAdmissionPolicies, ({ object }) =>
    queue.add(object.metadata.name),
  )
  signal.addEventListener('abort', stop)
  for (const { metadata } of read.list(validatingAdmissionPolicies)) queue.add(metadata.name)
}

const isNew = ({ metadata, status }: ValidatingAdmissionPolicy): boolean =>
  (metadata.generation ?? 0) > (status?.observedGeneration ?? 0)
