/** What must be known to take a network away when the cluster no longer runs: a file in its data folder. */
import { join } from 'node:path'
import type { Env } from '#base'
import type { ServeOptions } from './options.ts'

const networkFile = (dataDir: string): string => join(dataDir, 'network.json')

export async function rememberNetwork(
  { fs }: Pick<Env, 'fs'>,
  { dataDir, podCidr }: Pick<ServeOptions, 'dataDir' | 'podCidr'>,
): Promise<void> {
  const text = `${JSON.stringify({ podCidr })}\n`
  const file = networkFile(dataDir)
  if ((await fs.stat(file)) !== undefined && (await fs.readText(file)) === text) return
  await fs.write(file, text, { atomic: true })
}

/** The range of the cluster's pods, if this machine ever had some. */
export async function rememberedRange(
  { fs }: Pick<Env, 'fs'>,
  dataDir: string,
): Promise<string | undefined> {
  try {
    const { podCidr } = JSON.parse(await fs.readText(networkFile(dataDir))) as {
      podCidr?: unknown
    }
    return typeof podCidr === 'string' ? podCidr : undefined
  } catch {
    return undefined
  }
}
