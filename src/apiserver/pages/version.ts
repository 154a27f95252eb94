/** Which Kubernetes this is, for clients that ask before they speak. */
import type { Metrics } from '#base'
import type { JsonObject } from '#machinery'

const MAJOR = '1'
const MINOR = '36'
/** As `/version` tells it. */
export const GIT_VERSION = `v${MAJOR}.${MINOR}.0+navarch`

/** What git calls no commit at all: from source none is known, and clients match hexadecimal digits. */
const NO_COMMIT = '0'.repeat(40)

export const versionInfo = ({
  commit = NO_COMMIT,
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

/** The version as a number that is always one, as upstream's programs show it. */
export function describeBuild(
  metrics: Metrics,
  build: Parameters<typeof versionInfo>[0] = {},
): void {
  const info = versionInfo(build)
  const fields = [
    ['build_date', 'buildDate'],
    ['compiler', 'compiler'],
    ['git_commit', 'gitCommit'],
    ['git_tree_state', 'gitTreeState'],
    ['git_version', 'gitVersion'],
    ['go_version', 'goVersion'],
    ['major', 'major'],
    ['minor', 'minor'],
    ['platform', 'platform'],
  ] as const
  const labels = fields.map(([label]) => label)
  const values = fields.map(([, field]) => info[field] as string)
  metrics.gauge(
    { name: 'kubernetes_build_info', help: 'What this program is; always 1.', labels },
    () => [[values, 1]],
  )
}
