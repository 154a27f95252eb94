/** The probes of one pod: what fails is told, and what turns asks for another round. */
import type { KubeletContext } from '../context.ts'
import { probeTitle } from '../probes/decide.ts'
import { Prober } from '../probes/prober.ts'
import { runProbe } from '../probes/run.ts'
import type { Rounds } from './rounds.ts'

/** What probes need of the pod's agent. */
export interface ProbedPod {
  readonly context: Pick<KubeletContext, 'runtime' | 'env'>
  readonly podIps: readonly string[]
  readonly rounds: Rounds
  event(type: 'Warning', reason: string, message: string, container: string): void
}

export function podProber(agent: ProbedPod): Prober {
  const { runtime, env } = agent.context
  return new Prober({
    env,
    onChange: () => agent.rounds.ask(),
    probe: (probe, container, containerId, signal) => {
      const target = { container, containerId, podIp: agent.podIps[0] ?? '' }
      return runProbe(probe, target, runtime, env, signal)
    },
    onOutcome: (kind, { name }, _id, outcome) => {
      if (!outcome.ok) {
        agent.event('Warning', 'Unhealthy', `${probeTitle(kind)} failed: ${outcome.message}`, name)
      } else if (outcome.warning !== undefined) {
        agent.event('Warning', 'ProbeWarning', outcome.warning, name)
      }
    },
  })
}
