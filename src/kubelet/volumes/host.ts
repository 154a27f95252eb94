/** What volumes do to the machine: mounts. A simulated node has a host that does nothing. */
import type { Env } from '#base'

export interface VolumeHost {
  /** Writes are real: a simulated node computes its volumes and keeps them to itself. */
  readonly real: boolean
  /** Nothing happens when something is mounted there already. */
  mountTmpfs(path: string, options: { readonly sizeBytes?: number }): Promise<void>
  isMounted(path: string): Promise<boolean>
  /** Everything mounted at the path or below it. Throws when something stays. */
  unmountBelow(path: string): Promise<void>
}

export const noVolumeHost: VolumeHost = {
  real: false,
  mountTmpfs: async () => {},
  isMounted: async () => false,
  unmountBelow: async () => {},
}

export function linuxVolumeHost(env: Pick<Env, 'fs' | 'process'>): VolumeHost {
  const mounts = async (): Promise<readonly string[]> =>
    mountPoints(await env.fs.readText('/proc/self/mountinfo'))
  const run = async (command: readonly [string, ...string[]]) => {
    const { code, stderr } = await env.process.run(command)
    if (code !== 0) throw new Error(`${command.join(' ')}: ${stderr.trim()}`)
  }
  return {
    real: true,
    async mountTmpfs(path, { sizeBytes }) {
      if ((await mounts()).includes(path)) return
      const size = sizeBytes === undefined ? '' : `,size=${sizeBytes}`
      await run(['mount', '-t', 'tmpfs', '-o', `rw,mode=0777${size}`, 'tmpfs', path])
    },
    isMounted: async (path) => (await mounts()).includes(path),
    async unmountBelow(path) {
      const below = (await mounts()).filter(
        (point) => point === path || point.startsWith(`${path}/`),
      )
      // The newest first: mounts lie on one another.
      for (const point of below.toReversed()) await run(['umount', point])
    },
  }
}

/** The fifth field of each line, with its octal escapes. */
export const mountPoints = (mountinfo: string): readonly string[] =>
  mountinfo
    .split('\n')
    .map((line) => line.split(' ')[4])
    .filter((point) => point !== undefined)
    .map((point) =>
      point.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      ),
    )
