/** A container's volume mounts, as the runtime takes them. */
import { join, normalize, relative, resolve } from 'node:path'
import type { Env } from '#base'
import type { Mount } from '../runtime.ts'
import { PROPAGATION, absolutePath } from '../pod/configs.ts'
import { type AnyContainer } from '../pod/containers.ts'
import { ConfigError } from '../pod/environment.ts'
import { expand } from '../pod/expand.ts'
import type { MountedVolume } from './pod-volumes.ts'

export async function volumeMounts(
  container: AnyContainer,
  volumes: ReadonlyMap<string, MountedVolume>,
  environment: ReadonlyMap<string, string>,
  fs: Env['fs'] | undefined,
): Promise<readonly Mount[]> {
  const mounts: Mount[] = []
  for (const wanted of container.volumeMounts ?? []) {
    const volume = volumes.get(wanted.name)
    if (volume === undefined) {
      throw new ConfigError(`volume "${wanted.name}" is not mounted`)
    }
    const subPath = subPathOf(wanted, environment)
    const image = volume.image === undefined ? {} : { image: volume.image, imageSubPath: subPath }
    mounts.push({
      containerPath: absolutePath(wanted.mountPath),
      hostPath:
        subPath === '' || volume.image !== undefined || fs === undefined
          ? volume.hostPath
          : await openSubPath(volume.hostPath, subPath, volume.readOnly, fs),
      readonly: wanted.readOnly === true || volume.readOnly,
      selinuxRelabel: false,
      propagation: PROPAGATION[wanted.mountPropagation ?? 'None'],
      ...image,
    })
  }
  return mounts
}

function subPathOf(
  { subPath = '', subPathExpr = '' }: { subPath?: string; subPathExpr?: string },
  environment: ReadonlyMap<string, string>,
): string {
  let path = subPath
  if (subPathExpr !== '') {
    let missing: string | undefined
    path = expand(subPathExpr, (name) => {
      const value = environment.get(name)
      if (value === undefined) missing ??= name
      return value
    })
    if (missing !== undefined) {
      throw new ConfigError(`missing value for "${missing}" in subPathExpr`)
    }
  }
  if (path.startsWith('/')) {
    throw new ConfigError(`error SubPath \`${path}\` must not be an absolute path`)
  }
  if (path.split('/').includes('..')) {
    throw new ConfigError(`unable to provision SubPath \`${path}\`: must not contain '..'`)
  }
  return path === '' ? '' : normalize(path)
}

const MAX_LINKS = 40

/** Follows the path inside the volume and never out of it; makes the folder when it is missing. */
async function openSubPath(
  root: string,
  subPath: string,
  readOnly: boolean,
  fs: Env['fs'],
): Promise<string> {
  let at = root
  const rest = subPath.split('/').filter((part) => part !== '' && part !== '.')
  let links = 0
  while (rest.length > 0) {
    const part = rest.shift() ?? ''
    const next = resolve(at, part)
    if (/^\.\.(\/|$)/.test(relative(root, next))) {
      throw new ConfigError(`subPath "${subPath}" leads out of its volume`)
    }
    const stat = await fs.stat(next)
    if (stat?.kind === 'symlink') {
      if (++links > MAX_LINKS) throw new ConfigError(`subPath "${subPath}" has too many links`)
      const target = await fs.readLink(next)
      if (target.startsWith('/')) {
        throw new ConfigError(`subPath "${subPath}" leads out of its volume`)
      }
      rest.unshift(...target.split('/').filter((piece) => piece !== '' && piece !== '.'))
      continue
    }
    if (stat === undefined) {
      if (readOnly) throw new ConfigError(`failed to prepare subPath "${subPath}": not found`)
      const { mode = 0o750 } = (await fs.stat(at)) ?? {}
      const made = join(next, ...rest)
      await fs.makeFolder(made, { mode: mode & 0o777 })
      let folder = next
      await fs.chmod(folder, mode & 0o7777)
      for (const name of rest) {
        folder = join(folder, name)
        await fs.chmod(folder, mode & 0o7777)
      }
      return made
    }
    at = next
  }
  return at
}
