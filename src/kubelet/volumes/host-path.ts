/** Paths of the machine itself: hostPath volumes, and persistent volumes that are folders of this node. */
import { dirname, resolve } from 'node:path'
import type { Env, FileStat } from '#base'
import { requirementsOf, type PersistentVolume, type PersistentVolumeClaim } from '#api'
import { matchesLabels } from '#machinery'
import { VolumeError } from './payload.ts'

/** Checks what is there against the type, and makes what the type says is to be made. */
export async function prepareHostPath(path: string, type: string, fs: Env['fs']): Promise<void> {
  if (type === '') return
  const stat = await follow(path, fs)
  switch (type) {
    case 'DirectoryOrCreate':
      if (stat === undefined) await fs.makeFolder(path, { mode: 0o755 })
      else expectKind(path, stat, 'folder', 'directory')
      return
    case 'FileOrCreate':
      if (stat === undefined) await fs.write(path, '', { mode: 0o644 })
      else expectKind(path, stat, 'file', 'file')
      return
    case 'Directory':
      return expectKind(path, stat, 'folder', 'directory')
    case 'File':
      return expectKind(path, stat, 'file', 'file')
    case 'Socket':
      return expectKind(path, stat, 'socket', 'socket file')
    case 'CharDevice':
      return expectKind(path, stat, 'device', 'character device')
    case 'BlockDevice':
      return expectKind(path, stat, 'device', 'block device')
    default:
      throw new VolumeError(`${type} is an invalid volume type`)
  }
}

function expectKind(
  path: string,
  stat: FileStat | undefined,
  kind: FileStat['kind'],
  what: string,
): void {
  if (stat?.kind !== kind) {
    throw new VolumeError(`hostPath type check failed: ${path} is not a ${what}`)
  }
}

const MAX_LINKS = 40

async function follow(path: string, fs: Env['fs']): Promise<FileStat | undefined> {
  let at = path
  for (let links = 0; links < MAX_LINKS; links++) {
    const stat = await fs.stat(at)
    if (stat?.kind !== 'symlink') return stat
    at = resolve(dirname(at), await fs.readLink(at))
  }
  return undefined
}

export interface ClaimSources {
  claim(namespace: string, name: string): Promise<PersistentVolumeClaim | undefined>
  persistentVolume(name: string): Promise<PersistentVolume | undefined>
}

/** The folder behind a claim. */
export async function claimPath(
  namespace: string,
  claimName: string,
  sources: ClaimSources,
  nodeLabels: Readonly<Record<string, string>>,
): Promise<{ readonly path: string; readonly type: string }> {
  const claim = await sources.claim(namespace, claimName)
  if (claim === undefined) throw new VolumeError(`persistentvolumeclaim "${claimName}" not found`)
  const volumeName = claim.spec?.volumeName ?? ''
  if (volumeName === '' || claim.status?.phase !== 'Bound') {
    throw new VolumeError(`PersistentVolumeClaim is not bound: "${namespace}/${claimName}"`)
  }
  const volume = await sources.persistentVolume(volumeName)
  if (volume === undefined) throw new VolumeError(`persistentvolume "${volumeName}" not found`)
  const terms = volume.spec?.nodeAffinity?.required?.nodeSelectorTerms
  if (
    terms !== undefined &&
    !terms.some((term) => matchesLabels(requirementsOf(term.matchExpressions), nodeLabels))
  ) {
    throw new VolumeError(`persistentvolume "${volumeName}" is not for this node`)
  }
  const { local, hostPath } = volume.spec ?? {}
  if (local !== undefined) return { path: local.path, type: 'Directory' }
  if (hostPath !== undefined) {
    return { path: hostPath.path, type: hostPath.type || 'DirectoryOrCreate' }
  }
  throw new VolumeError(
    `no volume plugin matched: persistentvolume "${volumeName}" is neither local nor hostPath`,
  )
}
