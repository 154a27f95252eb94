/** The kubelet's own pages, as its port and `nodes/NAME/proxy` reach them. */
import type { NodePage } from '#client'
import type { KubeletCore } from '../core.ts'
import type { PodAgent } from '../agent/pod-agent.ts'
import { runningContainers } from '../pod/pod-runtime.ts'
import { containerMetrics } from './cadvisor.ts'
import { configOf } from './config.ts'
import { logPage, machineLogs, memoryLogs } from './log-folder.ts'
import { HEALTH_CHECKS, healthMetrics, ownMetrics, probeMetrics } from './own.ts'
import { json, text } from './page.ts'
import { resourceMetrics } from './resource.ts'
import { summary } from './summary.ts'

const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'
const LOG_FOLDER = '/var/log'

export async function page(
  core: KubeletCore,
  path: string,
  query: string,
): Promise<NodePage | undefined> {
  if (path === '/logs' || path.startsWith('/logs/')) return logPage(logsOf(core), path)
  switch (path.replace(/\/+$/, '') || '/') {
    case '/healthz':
      for (const check of HEALTH_CHECKS) core.metrics.healthChecked(check)
      return text(
        new URLSearchParams(query).has('verbose')
          ? `${HEALTH_CHECKS.map((name) => `[+]${name} ok\n`).join('')}healthz check passed\n`
          : 'ok',
      )
    case '/healthz/ping':
    case '/healthz/log':
    case '/healthz/syncloop':
      return text('ok')
    case '/pods':
      return json(podList([...core.agents.values()].map(({ pod }) => pod)))
    case '/runningpods':
      return json(podList([...core.agents.values()].flatMap(asRunning)))
    case '/configz':
      return json({ kubeletconfig: configOf(core) })
    case '/stats/summary':
      return json(await summary(core, new URLSearchParams(query)))
    case '/metrics/resource':
      return text(await resourceMetrics(core), METRICS_TYPE)
    case '/metrics': {
      const [counted, ofProcess, own] = await Promise.all([
        core.metrics.page.text(),
        core.env.metrics.text(),
        ownMetrics(core),
      ])
      const body = `${counted.trimEnd()}\n${ofProcess.split('\n').filter(isOfProcess).join('\n')}\n${own}`
      return text(body, METRICS_TYPE)
    }
    case '/metrics/slis':
      return text(healthMetrics(core), METRICS_TYPE)
    case '/metrics/probes':
      return text(probeMetrics(core), METRICS_TYPE)
    case '/metrics/cadvisor':
      return text(await containerMetrics(core), METRICS_TYPE)
    default:
      return undefined
  }
}

/** A node in the control plane's process shares its memory and time, and none of its other numbers. */
const isOfProcess = (line: string): boolean =>
  /^(# (HELP|TYPE) )?(process|nodejs|rest_client)_/.test(line)

const podList = (items: readonly unknown[]): unknown => ({
  kind: 'PodList',
  apiVersion: 'v1',
  metadata: {},
  items,
})

/** As the runtime knows it: no more than what runs. */
function asRunning({ pod, runtime }: PodAgent): readonly unknown[] {
  const running = runningContainers(runtime)
  if (running.length === 0) return []
  const { name, namespace, uid } = pod.metadata
  const containers = running.map((each) => ({
    name: each.name,
    image: each.image,
    resources: {},
  }))
  return [{ metadata: { name, namespace, uid }, spec: { containers }, status: {} }]
}

const logsOf = ({ env, config, runtime }: KubeletCore) =>
  runtime.simulated
    ? memoryLogs(runtime.logFiles, config.logRoot)
    : machineLogs(env, { folder: LOG_FOLDER, podLogs: config.logRoot })
