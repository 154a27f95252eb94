/** Which Kubernetes this is, for clients that ask before they speak. */
import type { JsonObject } from '#machinery'

const MAJOR = '1'
const MINOR = '36'
export const GIT_VERSION = `v${MAJOR}.${MINOR}.0+navarch`

export const versionInfo = ({
  commit = 'unknown',
  date = '1970-01-01T00:00:00Z',
}: {
  readonly commit?: string
  readonly date?: string
}): JsonObject => ({
  major: MAJOR,
  minor: MINOR,
  emulationMajor: MAJOR,
  emulationMinor: MINOR,
  minCompatibilityMajor: MAJOR,
  minCompatibilityMinor: String(Number(MINOR) - 1),
  gitVersion: GIT_VERSION,
  gitCommit: commit,
  gitTreeState: 'clean',
  buildDate: date,
  goVersion: 'none',
  compiler: 'node',
  platform: 'linux/amd64',
})
