/** Where a cluster keeps its things, from the folder the user named or the usual one. */
import { createHash } from 'node:crypto'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

export interface Paths {
  readonly dataDir: string
  readonly runDir: string
  readonly controlSocket: string
  readonly logFile: string
  readonly kubeconfig: string
}

interface Who {
  readonly uid: number
  readonly environment: Readonly<Record<string, string | undefined>>
}

export function defaultDataDir({ uid, environment }: Who): string {
  if (environment['NAVARCH_DATA_DIR']) return resolve(environment['NAVARCH_DATA_DIR'])
  if (uid === 0 && process.platform === 'linux') return '/var/lib/navarch'
  return join(environment['XDG_DATA_HOME'] ?? join(homedir(), '.local', 'share'), 'navarch')
}

/** A socket's path must be short (108 bytes), so the run folder is named by a hash of the data folder. */
export function pathsOf(dataDir: string, { uid, environment }: Who): Paths {
  const data = resolve(dataDir)
  const hash = createHash('sha256').update(data).digest('hex').slice(0, 8)
  const base =
    uid === 0 && process.platform === 'linux' ? '/run' : (environment['XDG_RUNTIME_DIR'] ?? '/tmp')
  const runDir = join(base, `navarch-${hash}`)
  return {
    dataDir: data,
    runDir,
    controlSocket: join(runDir, 'control.sock'),
    logFile: join(data, 'log', 'navarch.log'),
    kubeconfig: join(data, 'kubeconfig'),
  }
}

/** The user's own kubeconfig: the first of $KUBECONFIG, or ~/.kube/config. */
export function userKubeconfig(environment: Readonly<Record<string, string | undefined>>): string {
  const listed = environment['KUBECONFIG']?.split(':').find((path) => path !== '')
  return listed ?? join(homedir(), '.kube', 'config')
}
