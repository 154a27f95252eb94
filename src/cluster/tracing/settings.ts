/** Where traces go, as the settings of a cluster say it. */
import type { Env } from '#base'
import { ClusterError, type ServeOptions } from '../options.ts'
import { NAVARCH_VERSION } from '../version.ts'
import {
  openTracing,
  parseTracingConfiguration,
  type OpenedTracing,
  type TracingOptions,
} from './index.ts'

/** Undefined when nobody collects them. */
export async function openTraces(
  env: Env,
  { api: { tracing } = {}, nodeName }: ServeOptions,
): Promise<OpenedTracing | undefined> {
  if (tracing === undefined) return undefined
  const fail = (what: string, error: unknown): never => {
    const why = error instanceof Error ? error.message : String(error)
    throw new ClusterError(`${what}: ${why}`, 'Check --tracing-config-file')
  }
  const read = async (file: string): Promise<TracingOptions> => {
    try {
      return parseTracingConfiguration(await env.fs.readText(file))
    } catch (error) {
      return fail(file, error)
    }
  }
  const options = 'file' in tracing ? await read(tracing.file) : tracing
  return openTracing(env, options, { version: NAVARCH_VERSION, host: nodeName })
}
