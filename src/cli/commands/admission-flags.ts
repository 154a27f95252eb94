/** Flags that choose admission plugins, under the names that kube-apiserver gives them. */
import type { ServeOptions } from '#cluster'
import type { OptionSpec, ParsedArguments } from '../arguments.ts'
import { first } from './common.ts'

type Admission = NonNullable<NonNullable<ServeOptions['api']>['admission']>

export const admissionOptions: readonly OptionSpec[] = [
  {
    name: 'enable-admission-plugins',
    value: 'NAMES',
    repeat: true,
    summary: 'Admission plugins that are off by default: AlwaysPullImages,PodNodeSelector',
  },
  {
    name: 'disable-admission-plugins',
    value: 'NAMES',
    repeat: true,
    summary: 'Admission plugins that do not run',
  },
  {
    name: 'admission-control-config-file',
    value: 'FILE',
    summary: 'What single admission plugins are told (AdmissionConfiguration)',
  },
]

/** Undefined when nothing was said. */
export function admissionSettings(parsed: ParsedArguments): Admission | undefined {
  const names = (flag: string): readonly string[] =>
    (parsed.values.get(flag) ?? [])
      .flatMap((text) => text.split(','))
      .map((name) => name.trim())
      .filter((name) => name !== '')
  const enable = names('enable-admission-plugins')
  const disable = names('disable-admission-plugins')
  const configFile = first(parsed, 'admission-control-config-file')
  if (enable.length === 0 && disable.length === 0 && configFile === undefined) return undefined
  return { enable, disable, ...(configFile === undefined ? {} : { configFile }) }
}
