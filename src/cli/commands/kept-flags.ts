/** What a cluster was started as: a file in its data folder, so that `up` alone starts it as it was before. */
import { join } from 'node:path'
import type { Env } from '#base'
import type { ParsedArguments } from '../arguments.ts'

/** What a cluster is. How its API behaves, and what it logs, is said at each start. */
const KEPT = [
  'port',
  'host',
  'node-name',
  'runtime',
  'pod-cidr',
  'service-cidr',
  'pod-logs-dir',
  'context',
]

const fileIn = (dataDir: string): string => join(dataDir, 'flags.json')

type Kept = Readonly<Record<string, string>>

async function read({ fs }: Pick<Env, 'fs'>, dataDir: string): Promise<Kept> {
  try {
    const found = JSON.parse(await fs.readText(fileIn(dataDir))) as unknown
    return typeof found === 'object' && found !== null ? (found as Kept) : {}
  } catch {
    // A new cluster; or a file that somebody spoiled, without which all is as for a new one.
    return {}
  }
}

/** The flags given, and those of the last start that are not given now. */
export async function withKeptFlags(
  env: Pick<Env, 'fs'>,
  dataDir: string,
  given: ParsedArguments,
): Promise<ParsedArguments> {
  const kept = await read(env, dataDir)
  const values = new Map(given.values)
  for (const name of KEPT) {
    const value = kept[name]
    if (typeof value === 'string' && !values.has(name)) values.set(name, [value])
  }
  return { ...given, values }
}

/** Once the cluster runs: what it was started as is how it starts the next time. */
export async function keepFlags(
  env: Pick<Env, 'fs'>,
  dataDir: string,
  { values }: ParsedArguments,
): Promise<void> {
  const now: Record<string, string> = {}
  for (const name of KEPT) {
    const [value] = values.get(name) ?? []
    if (value !== undefined) now[name] = value
  }
  const text = `${JSON.stringify(now, undefined, 2)}\n`
  const file = fileIn(dataDir)
  if ((await env.fs.stat(file)) !== undefined && (await env.fs.readText(file)) === text) return
  await env.fs.write(file, text, { atomic: true })
}
