/**
 * Who still uses tokens that live in Secrets (KEP-2799): each Secret says when its token was last used, and a
 * ConfigMap since when that is written down.
 */
import type { Secret } from '#api'
import type { Clock, Env } from '#base'
import type { Transport } from '#client'
import { isStatus } from '#machinery'

const LAST_USED = 'kubernetes.io/legacy-token-last-used'
/** Whoever sets this label ends the token without losing it. */
const INVALID_SINCE = 'kubernetes.io/legacy-token-invalid-since'
const TRACKING = 'kube-apiserver-legacy-service-account-token-tracking'
const CONFIG_MAPS = '/api/v1/namespaces/kube-system/configmaps'
const DAY_MS = 24 * 60 * 60 * 1000

const day = (date: Date): string => date.toISOString().slice(0, 10)

export const isEnded = ({ metadata }: Secret): boolean =>
  (metadata.labels?.[INVALID_SINCE] ?? '') !== ''

/** What the label must become; undefined when it says so already. Of two servers the other's day may have begun. */
function dayToNote({ metadata }: Secret, now: Date): string | undefined {
  const noted = metadata.labels?.[LAST_USED]
  const today = day(now)
  const tomorrow = day(new Date(now.getTime() + DAY_MS))
  return noted === today || noted === tomorrow ? undefined : today
}

export type NoteUse = (secret: Secret) => void

/** Nobody waits for the note, and a use that is not noted is noted with the next one. */
export function noteUse(
  transport: () => Transport,
  { clock, log }: Pick<Env, 'clock' | 'log'>,
): NoteUse {
  const underWay = new Set<string>()
  const note = async ({ metadata }: Secret, today: string): Promise<void> => {
    const { namespace = '', name, uid } = metadata
    try {
      await transport().request({
        method: 'PATCH',
        path: `/api/v1/namespaces/${namespace}/secrets/${name}`,
        contentType: 'application/merge-patch+json',
        body: { metadata: { uid, labels: { [LAST_USED]: today } } },
        cause: 'legacy-token-tracking',
      })
    } catch (error) {
      log.warn('Cannot note the use of a token', { secret: `${namespace}/${name}`, error })
    } finally {
      underWay.delete(uid)
    }
  }
  return (secret) => {
    const today = dayToNote(secret, clock.now())
    const { uid } = secret.metadata
    if (today === undefined || underWay.has(uid)) return
    underWay.add(uid)
    void note(secret, today)
  }
}

/** Says since when uses are noted: a Secret without the label was not used since then. */
export async function ensureTokenTracking(
  transport: Transport,
  { now }: Pick<Clock, 'now'>,
): Promise<void> {
  const body = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: TRACKING, namespace: 'kube-system' },
    data: { since: day(now()) },
  }
  const cause = 'legacy-token-tracking'
  try {
    await transport.request({ method: 'GET', path: `${CONFIG_MAPS}/${TRACKING}` })
  } catch (error) {
    if (!isStatus(error, 'NotFound')) throw error
    try {
      await transport.request({ method: 'POST', path: CONFIG_MAPS, body, cause })
    } catch (late) {
      if (!isStatus(late, 'AlreadyExists')) throw late
    }
  }
}
