/**
 * The kernel keeps sending a flow to the backend it once chose, or to none. UDP flows have no end, and a TCP connection
 * that was never answered holds its client's port for two minutes. So what no longer matches its Service is forgotten.
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

/**
 * Connections that a backend which went has not answered yet: the client's next attempt finds another one, whereas the
 * kernel would send it to the same dead address, also when the client uses the port for something new.
 */
export function unansweredConnections(
  before: Pick<ServiceRules, 'frontends'>,
  after: Pick<ServiceRules, 'frontends'>,
): ReadonlySet<string> {
  const ips = ({ frontends }: Pick<ServiceRules, 'frontends'>): ReadonlySet<string> =>
    new Set(
      frontends
        .filter(({ protocol }) => protocol === 'tcp')
        .flatMap((frontend) => backendsOf(frontend).map(({ ip }) => ip)),
    )
  return ips(before).difference(ips(after))
}

export const forgetUnanswered = (ip: string): ConntrackCommand =>
  `-D -f ipv4 -p tcp --state SYN_SENT --dst-nat ${ip}`.split(' ')

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
