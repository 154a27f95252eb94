/**
 * UDP has no end of a connection: the kernel keeps sending a flow to the backend it once chose, or to none. So flows
 * that no longer match their Service are forgotten.
 */
import { parseIPv4 } from '../ip.ts'
import type { Backend, Frontend, ServiceRules } from './desired.ts'

/** Arguments of `conntrack`. */
export type ConntrackCommand = readonly string[]

const backendsOf = (frontend: Frontend | undefined): readonly Backend[] =>
  frontend === undefined
    ? []
    : [frontend.verdict, frontend.outside].flatMap((verdict) =>
        verdict?.kind === 'balance' ? verdict.backends : [],
      )

const idOf = ({ address, port }: Frontend): string => `${address ?? ''}:${port}`

const udpOnly = ({ frontends }: Pick<ServiceRules, 'frontends'>): ReadonlyMap<string, Frontend> =>
  new Map(
    frontends
      .filter(({ protocol }) => protocol === 'udp')
      .map((frontend) => [idOf(frontend), frontend]),
  )

/** What to forget after rules changed: flows to backends that went, and flows from before there was a backend. */
export function staleFlows(
  before: Pick<ServiceRules, 'frontends'>,
  after: Pick<ServiceRules, 'frontends'>,
): readonly ConntrackCommand[] {
  const [old, next] = [udpOnly(before), udpOnly(after)]
  return [...new Set([...old.keys(), ...next.keys()])].flatMap((id) => {
    const frontend = next.get(id) ?? old.get(id)!
    const [had, has] = [backendsOf(old.get(id)), backendsOf(next.get(id))]
    const where = [
      ...(frontend.address === undefined ? [] : ['--orig-dst', frontend.address]),
      '--orig-port-dst',
      String(frontend.port),
    ]
    const base = ['-D', '-f', 'ipv4', '-p', 'udp', ...where]
    if (had.length === 0) return has.length === 0 ? [] : [base]
    const kept = new Set(has.map(({ ip }) => ip))
    const gone = new Set(had.map(({ ip }) => ip).filter((ip) => !kept.has(ip)))
    return [...gone].map((ip) => [...base, '--dst-nat', ip])
  })
}

/** What to forget when the proxy starts: what went away while nobody watched. `flows` is the output of `conntrack -L -f ipv4 -p udp`. */
export function staleFlowsAtStart(
  flows: string,
  rules: Iterable<Pick<ServiceRules, 'frontends'>>,
): readonly ConntrackCommand[] {
  const frontends = new Map([...rules].flatMap((some) => [...udpOnly(some)]))
  const commands = new Map<string, ConntrackCommand>()
  for (const line of flows.split('\n')) {
    const [, source = '', target = '', sourcePort = '', port = '', answers = ''] =
      /\bsrc=(\S+) dst=(\S+) sport=(\d+) dport=(\d+)\b.*?\bsrc=(\S+)/.exec(line) ?? []
    if (parseIPv4(target) === undefined) continue
    const frontend = frontends.get(`${target}:${port}`)
    if (frontend === undefined || backendsOf(frontend).some(({ ip }) => ip === answers)) continue
    const flow = `--orig-src ${source} --orig-dst ${target} --orig-port-src ${sourcePort} --orig-port-dst ${port}`
    const command = `-D -f ipv4 -p udp ${flow}`.split(' ')
    commands.set(command.join(' '), command)
  }
  return [...commands.values()]
}
