/** What the flags of admission name, read and judged before the server is made. */
import type { Env } from '#base'
import { parseAdmissionConfiguration, type AdmissionConfiguration } from './configuration.ts'
import { choiceErrors, type PluginChoice } from './names.ts'

/** Which plugins are on, and what they are told. */
export interface AdmissionSettings extends PluginChoice {
  /** An AdmissionConfiguration. */
  readonly configFile?: string
}

/** The same, read from its files. */
export interface OpenedAdmission extends PluginChoice {
  readonly configuration: AdmissionConfiguration
}

/** Throws an Error that says what is wrong with the choice, or with the file. */
export async function openAdmission(
  { fs }: Pick<Env, 'fs'>,
  { configFile, ...choice }: AdmissionSettings,
): Promise<OpenedAdmission> {
  const wrong = choiceErrors(choice)
  if (wrong.length > 0) throw new Error(wrong.join('; '))
  const configuration = configFile === undefined ? {} : await read(fs, configFile)
  if (choice.enable?.includes('EventRateLimit') === true && configuration.eventLimits === undefined)
    throw new Error('EventRateLimit needs its limits: configure it in an AdmissionConfiguration')
  return { ...choice, configuration }
}

async function read(fs: Env['fs'], file: string): Promise<AdmissionConfiguration> {
  try {
    return await parseAdmissionConfiguration(await fs.readText(file), (path) => fs.readText(path))
  } catch (error) {
    throw new Error(`${file}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    })
  }
}
