/** A machine that joined a cluster elsewhere takes its Node out of it again. */
import { join } from 'node:path'
import { pods as podResource } from '#api'
import type { Env } from '#base'
import { createClient, httpTransport } from '#client'
import { isStatus } from '#machinery'

/** Which cluster a folder's node is of; written when it joins. */
export interface Membership {
  readonly server: string
  readonly nodeName: string
}

export type Left =
  /** It never joined one. */
  | { readonly kind: 'none' }
  | { readonly kind: 'left'; readonly nodeName: string; readonly pods: number }
  /** Its Node stays, and why. */
  | { readonly kind: 'stays'; readonly membership: Membership; readonly reason: string }

const TIMEOUT_MS = 10_000
const fileOf = (dataDir: string): string => join(dataDir, 'joined.json')

export const writeMembership = (
  { fs }: Pick<Env, 'fs'>,
  dataDir: string,
  { server, nodeName }: Membership,
): Promise<void> =>
  fs.write(fileOf(dataDir), `${JSON.stringify({ server, nodeName })}\n`, { atomic: true })

/** For a node whose agent has ended: one that runs would register anew. */
export async function leaveCluster(
  { fs, clock }: Pick<Env, 'fs' | 'clock'>,
  dataDir: string,
): Promise<Left> {
  if ((await fs.stat(fileOf(dataDir))) === undefined) return { kind: 'none' }
  const membership = JSON.parse(await fs.readText(fileOf(dataDir))) as Membership
  const { server, nodeName } = membership
  const read = (name: string): Promise<string> => fs.readText(join(dataDir, 'pki', name))
  let transport
  const late = new AbortController()
  const { signal } = late
  const cancel = clock.schedule(TIMEOUT_MS, () => late.abort(new Error('no answer')))
  try {
    const [authority, certificate, key] = await Promise.all(
      ['ca.crt', 'kubelet-client.crt', 'kubelet-client.key'].map(read),
    )
    transport = httpTransport({
      server,
      ...(authority === undefined ? {} : { authority }),
      ...(certificate === undefined || key === undefined ? {} : { certificate, key }),
    })
    const client = createClient(transport)
    const fieldSelector = `spec.nodeName=${nodeName}`
    const { items } = await client.list(podResource, { fieldSelector, signal })
    await client.transport.request({
      method: 'DELETE',
      path: `/api/v1/nodes/${encodeURIComponent(nodeName)}`,
      signal,
    })
    return { kind: 'left', nodeName, pods: items.length }
  } catch (error) {
    if (isStatus(error, 'NotFound')) return { kind: 'left', nodeName, pods: 0 }
    return {
      kind: 'stays',
      membership,
      reason: reasonOf(error),
    }
  } finally {
    cancel()
    transport?.close()
  }
}

/** The innermost cause: `connect ECONNREFUSED …` says more than that a stream ended. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? reasonOf(error.cause) : error.message
}
