/** Prometheus' text format. */

export interface Sample {
  readonly labels?: Readonly<Record<string, string>>
  readonly value: number
  /** Of the measurement; the reader's own when absent. */
  readonly timeMs?: number
}

export interface Family {
  readonly name: string
  readonly type: 'counter' | 'gauge'
  readonly help: string
  readonly samples: readonly Sample[]
}

/** A family without a sample is left out. */
export const pageOf = (families: readonly Family[]): string =>
  families
    .filter(({ samples }) => samples.length > 0)
    .map(
      ({ name, type, help, samples }) =>
        `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${samples.map((sample) => line(name, sample)).join('')}`,
    )
    .join('')

function line(name: string, { labels = {}, value, timeMs }: Sample): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`)
  const about = pairs.length === 0 ? '' : `{${pairs.join(',')}}`
  return `${name}${about} ${value}${timeMs === undefined ? '' : ` ${timeMs}`}\n`
}

const escaped = (text: string): string =>
  text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
