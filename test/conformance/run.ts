/**
 * `npm run conformance -- [--kubeconfig FILE] [--context NAME] [--focus REGEX] [--tier T0,T1] [--group NAME] [--workers N]
 * [--profile fast|stock] [--protobuf] [--report DIR] [--list]`: runs the mirrors against a cluster and reports per test.
 */
import { spawn } from 'node:child_process'
import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { kubectlPath } from '../support/tools.ts'
import { connect, type Api, type Json } from './api.ts'
import { mirrors, Skipped, type Fixture, type Mirror, type Ran } from './mirror.ts'

const here = fileURLToPath(new URL('.', import.meta.url))
const { values } = parseArgs({
  options: {
    kubeconfig: { type: 'string' },
    context: { type: 'string' },
    focus: { type: 'string' },
    tier: { type: 'string' },
    group: { type: 'string' },
    workers: { type: 'string', default: '4' },
    profile: { type: 'string', default: 'fast' },
    protobuf: { type: 'boolean', default: false },
    report: { type: 'string', default: 'conformance-results' },
    list: { type: 'boolean', default: false },
  },
})

interface Listed {
  readonly name: string
  readonly group: string
  readonly tier: string
  readonly serial: boolean
}
const listed: readonly Listed[] = readFileSync(join(here, 'tests.tsv'), 'utf8')
  .trimEnd()
  .split('\n')
  .slice(1)
  .map((line) => line.split('\t'))
  .map(([name = '', , group = '', tier = '', , serial = '-']) => ({
    name,
    group,
    tier,
    serial: serial !== '-',
  }))

for (const file of globSync('mirrors/*.ts', { cwd: here }).toSorted())
  await import(join(here, file))

const byName = new Map(listed.map((test) => [test.name, test]))
const strangers = mirrors.filter((m) => !byName.has(m.name))
if (strangers.length > 0)
  throw new Error(`Not on the official list: ${strangers.map((m) => m.name).join('; ')}`)

const focus = values.focus === undefined ? undefined : new RegExp(values.focus)
const wanted = (test: Listed): boolean =>
  (focus?.test(test.name) ?? true) &&
  (values.tier === undefined || values.tier.split(',').includes(test.tier)) &&
  (values.group === undefined || values.group.split(',').includes(test.group))
const selected = mirrors.filter((m) => wanted(byName.get(m.name) as Listed))

/** Makes names unique in a run. */
let counter = 0

type Outcome = 'passed' | 'failed' | 'skipped'
interface Result {
  readonly name: string
  readonly group: string
  readonly tier: string
  readonly outcome: Outcome | 'no mirror'
  readonly seconds: number
  readonly message?: string
}

if (values.list) {
  for (const test of listed.filter(wanted)) {
    console.log(
      `${mirrors.some((m) => m.name === test.name) ? 'mirror' : '  -   '}  ${test.tier}  ${test.group.padEnd(28)} ${test.name}`,
    )
  }
} else {
  await main()
}

async function main(): Promise<void> {
  const api = await connect(values.kubeconfig, values.context, { isTyped: values.protobuf })
  const version = await api.get('/version')
  console.log(
    `${selected.length} mirrors of ${listed.length} tests against ${api.server}, Kubernetes ${version['gitVersion']}`,
  )
  const results: Result[] = []
  const parallel = selected.filter((m) => byName.get(m.name)?.serial === false)
  const serial = selected.filter((m) => byName.get(m.name)?.serial === true)
  const queue = [...parallel]
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift())
      results.push(await runOne(api, next))
  }
  await Promise.all(Array.from({ length: Number(values.workers) }, worker))
  for (const next of serial) results.push(await runOne(api, next))
  report(results)
  api.close()
  // A mirror that failed may have left a watch open.
  process.exit()
}

async function runOne(api: Api, mirror: Mirror): Promise<Result> {
  const began = performance.now()
  const cleanUps: (() => Promise<unknown>)[] = []
  const { group, tier } = byName.get(mirror.name) as Listed
  let outcome: Outcome = 'passed'
  let message: string | undefined
  let made: Fixture | undefined
  try {
    made = await fixture(api, mirror, cleanUps)
    await mirror.run(made)
  } catch (error) {
    outcome = error instanceof Skipped ? 'skipped' : 'failed'
    message = error instanceof Error ? (error.stack ?? error.message) : String(error)
    if (error instanceof Skipped) message = error.message
    else if (made !== undefined) message += await remains(made).catch(() => '')
  }
  for (const run of cleanUps.toReversed()) await run().catch(() => undefined)
  const seconds = Math.round(performance.now() - began) / 1000
  const mark = { passed: 'ok  ', failed: 'FAIL', skipped: 'skip' }[outcome]
  console.log(
    `${mark} ${seconds.toFixed(1).padStart(6)} s  ${mirror.name}${outcome === 'passed' ? '' : `\n       ${message?.split('\n').slice(0, 4).join('\n       ')}`}`,
  )
  return {
    name: mirror.name,
    group,
    tier,
    outcome,
    seconds,
    ...(message === undefined ? {} : { message }),
  }
}

/** What there is in the namespace of a test that failed: its pods and its events. */
async function remains({ api, ns }: Fixture): Promise<string> {
  const pods = await api.get(ns('pods'))
  const events = await api.get(ns('events'))
  return [
    '',
    ...pods['items'].map(
      ({ metadata, spec, status }: Json) =>
        `pod ${metadata.name} on ${spec.nodeName}: ${JSON.stringify(status)}`,
    ),
    ...events['items'].map(
      ({ lastTimestamp, eventTime, involvedObject, reason, message }: Json) =>
        `${lastTimestamp ?? eventTime} ${involvedObject.kind} ${involvedObject.name} ${reason}: ${message}`,
    ),
  ].join('\n')
}

async function fixture(
  api: Api,
  mirror: Mirror,
  cleanUps: (() => Promise<unknown>)[],
): Promise<Fixture> {
  const run = process.pid.toString(36)
  const level = mirror.level
  const created = await api.post('/api/v1/namespaces', {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: {
      generateName: 'mirror-',
      labels: {
        'e2e-framework': 'mirror',
        'e2e-run': run,
        'pod-security.kubernetes.io/enforce': level,
        'pod-security.kubernetes.io/audit': level,
        'pod-security.kubernetes.io/warn': level,
      },
    },
  })
  const namespace = String(created['metadata'].name)
  cleanUps.push(() => api.delete(`/api/v1/namespaces/${namespace}`))
  const query = {
    sendInitialEvents: true,
    resourceVersionMatch: 'NotOlderThan',
    allowWatchBookmarks: true,
  }
  for (const [resource, name] of [
    ['serviceaccounts', 'default'],
    ['configmaps', 'kube-root-ca.crt'],
  ] as const) {
    const watching = await api.watch(`/api/v1/namespaces/${namespace}/${resource}`, {
      ...query,
      fieldSelector: `metadata.name=${name}`,
    })
    await watching.next(`${resource}/${name}`, ({ type }) => type === 'ADDED', 120_000)
    watching.stop()
  }
  return {
    api,
    namespace,
    ns: (path) => `/api/v1/namespaces/${namespace}/${path}`,
    unique: (prefix) => `${prefix}-${run}-${counter++}`,
    cleanUp: (what) => void cleanUps.push(what),
    profile: values.profile === 'stock' ? 'stock' : 'fast',
    kubectl: (args, input) => kubectl(['--namespace', namespace, ...args], input),
    skip: (reason) => {
      throw new Skipped(reason)
    },
    async until(what, look, withinMs = 60_000) {
      const deadline = performance.now() + withinMs
      for (;;) {
        const found = await look()
        if (found !== undefined && found !== false) return found as never
        if (performance.now() > deadline) throw new Error(`Not within ${withinMs} ms: ${what}`)
        await new Promise((resolve) => {
          const timer = setInterval(
            () => {
              clearInterval(timer)
              resolve(undefined)
            },
            values.profile === 'stock' ? 2000 : 100,
          )
        })
      }
    },
  }
}

/** With the kubeconfig and context of this run. */
function kubectl(args: readonly string[], input = ''): Promise<Ran> {
  const { kubeconfig, context } = values
  const all = [...(context === undefined ? [] : ['--context', context]), ...args]
  const env = { ...process.env, ...(kubeconfig === undefined ? {} : { KUBECONFIG: kubeconfig }) }
  return new Promise((resolve, reject) => {
    const child = spawn(kubectlPath(), all, { env })
    const texts = { output: '', errors: '' }
    child.stdout.on('data', (chunk: Buffer) => (texts.output += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (texts.errors += chunk.toString()))
    child.once('error', reject)
    child.once('close', (code) => resolve({ code: code ?? -1, ...texts }))
    child.stdin.end(input)
  })
}

function report(results: readonly Result[]): void {
  const missing: Result[] = listed
    .filter((test) => wanted(test) && !mirrors.some((m) => m.name === test.name))
    .map(({ name, group, tier }) => ({ name, group, tier, outcome: 'no mirror', seconds: 0 }))
  const all = [...results, ...missing]
  const count = (outcome: Result['outcome']): number =>
    all.filter((r) => r.outcome === outcome).length
  mkdirSync(values.report, { recursive: true })
  writeFileSync(join(values.report, 'results.json'), `${JSON.stringify(all, null, 1)}\n`)
  writeFileSync(join(values.report, 'junit.xml'), junit(all))
  console.log(
    `\n${count('passed')} of ${listed.length} mirrors pass; ${count('failed')} failed, ${count('skipped')} skipped, ${count('no mirror')} without a mirror. Report: ${values.report}/`,
  )
  console.log(`${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped`)
  process.exitCode = count('failed') > 0 ? 1 : 0
}

function junit(results: readonly Result[]): string {
  const escape = (text: string): string =>
    text
      .replaceAll('&', '&amp;')
      .replaceAll('<', '&lt;')
      .replaceAll('>', '&gt;')
      .replaceAll('"', '&quot;')
      // XML 1.0 has no place for other control characters.
      .replaceAll(/\p{Cc}/gu, (c) => (c === '\n' || c === '\t' ? c : ''))
  const cases = results.map(({ name, group, outcome, seconds, message }) => {
    const inner =
      outcome === 'failed'
        ? `<failure>${escape(message ?? '')}</failure>`
        : outcome === 'passed'
          ? ''
          : `<skipped message="${escape(message ?? 'there is no mirror of this test yet')}"/>`
    return `  <testcase classname="${escape(group)}" name="${escape(name)}" time="${seconds}">${inner}</testcase>`
  })
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuite name="conformance mirrors" tests="${results.length}">\n${cases.join('\n')}\n</testsuite>\n`
}
