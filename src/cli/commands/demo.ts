import { deployments, pods, services, type Deployment, type Service } from '#api'
import { createClient, httpTransport, parseKubeconfig, type Client } from '#client'
import type { Draft } from '#machinery'
import { CommandError, type Command, type CommandContext } from '../command.ts'
import { duration } from '../terminal.ts'
import { ask } from './common.ts'
import { ensureUp, publishKubeconfig, up } from './up.ts'

const NAME = 'demo'
const IMAGE = 'navarch.local/demo:1'
const REPLICAS = 3
const ROLLOUT_MS = 60_000
const REQUEST_MS = 3000

const deployment: Draft<Deployment> = {
  metadata: { name: NAME, namespace: 'default', labels: { app: NAME } },
  spec: {
    replicas: REPLICAS,
    selector: { matchLabels: { app: NAME } },
    template: {
      metadata: { labels: { app: NAME } },
      spec: {
        containers: [
          {
            name: 'web',
            image: IMAGE,
            ports: [{ containerPort: 8080 }],
            env: [{ name: 'VERSION', value: 'one' }],
            readinessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 },
            resources: { requests: { cpu: '10m', memory: '16Mi' } },
          },
        ],
      },
    },
  },
}
const service: Draft<Service> = {
  metadata: { name: NAME, namespace: 'default', labels: { app: NAME } },
  spec: { selector: { app: NAME }, ports: [{ port: 80, targetPort: 8080 }] },
}

export const demo: Command = {
  name: 'demo',
  summary: 'Start a cluster and show a small web application running on it',
  usage: '[flags of up]',
  options: up.options,
  examples: [['navarch demo', 'what npm start runs']],
  async run(context) {
    const { env, terminal } = context
    const { style } = terminal
    const began = env.clock.monotonic()
    const { status, started } = await ensureUp(context)
    terminal.print(
      `${style.green('✓')} Cluster ${started ? 'started' : 'was running'}: ${style.bold(status.server)}, node ${status.nodes.map(({ name }) => name).join(', ')}`,
    )
    const transport = httpTransport(parseKubeconfig(await env.fs.readText(status.kubeconfig)))
    try {
      const client = createClient(transport)
      const simulated = status.runtime === 'simulated'
      if (
        !simulated &&
        !(await ask<{ name: string }[]>(context, { command: 'image', action: 'list' }))?.some(
          ({ name }) => name === IMAGE,
        )
      ) {
        const step = terminal.step(`Image ${IMAGE}`)
        await ask(context, {
          command: 'image',
          action: 'build',
          name: IMAGE,
          base: 'busybox',
          entrypoint: [],
          env: [],
        })
        step.done("made from this machine's busybox")
      }
      const address = await deploy(context, client)
      if (simulated) {
        terminal.print(
          style.yellow('! The node is simulated: its containers are not real, so nothing answers.'),
        )
        for (const { name, detail } of status.components)
          if (name === 'runtime') terminal.print(style.dim(`  ${detail}`))
      } else await showAnswers(context, `http://${address}/`)
      terminal.print(`${style.green('✓')} All in ${duration(env.clock.monotonic() - began)}`)
      terminal.print()
      await publishKubeconfig(context, status)
      terminal.print(`  kubeconfig ${status.kubeconfig}`)
      if (!simulated)
        terminal.print(`  URL        ${style.bold(`http://${address}/`)} (from this machine)`)
      terminal.print('\nNow try:')
      for (const line of [
        'kubectl get pods -o wide',
        `kubectl scale deployment/${NAME} --replicas=10`,
        `kubectl set env deployment/${NAME} VERSION=two`,
        `kubectl rollout undo deployment/${NAME}`,
      ])
        terminal.print(`  ${style.cyan(line)}`)
      return 0
    } finally {
      transport.close()
    }
  },
}

/** Applies what is missing and waits for the replicas; gives the Service's address. What the user changed stays. */
async function deploy({ terminal, env, signal }: CommandContext, client: Client): Promise<string> {
  const step = terminal.step(`Deployment ${NAME}`)
  const key = { namespace: 'default', name: NAME }
  if ((await client.getOptional(deployments, key)) === undefined)
    await client.create(deployments, deployment)
  const found =
    (await client.getOptional(services, key)) ?? (await client.create(services, service))
  const limit = new AbortController()
  const cancel = env.clock.schedule(ROLLOUT_MS, () => limit.abort())
  let last: Deployment | undefined
  try {
    const events = await client.watch(deployments, {
      namespace: 'default',
      fieldSelector: `metadata.name=${NAME}`,
      sendInitialEvents: true,
      signal: AbortSignal.any([signal, limit.signal]),
    })
    watching: for await (const batch of events) {
      for (const { type, object } of batch) {
        if (type !== 'ADDED' && type !== 'MODIFIED') continue
        last = object
        const { readyReplicas = 0, observedGeneration } = object.status ?? {}
        step.note(`${readyReplicas} of ${object.spec.replicas ?? 1} ready`)
        if (
          readyReplicas >= (object.spec.replicas ?? 1) &&
          observedGeneration === object.metadata.generation
        )
          break watching
      }
    }
  } catch (error) {
    if (!limit.signal.aborted) throw error
    step.fail('not ready in time')
    const list = await client.list(pods, { namespace: 'default', labelSelector: `app=${NAME}` })
    throw new CommandError(
      `The demo is not ready: ${last?.status?.readyReplicas ?? 0} of ${last?.spec.replicas ?? REPLICAS} replicas`,
      ...list.items.map(
        ({ metadata, status }) =>
          `${metadata.name}: ${status?.phase} ${status?.containerStatuses?.[0]?.state?.waiting?.reason ?? ''}`,
      ),
      'See: kubectl describe pods -l app=demo',
    )
  } finally {
    cancel()
  }
  step.done(`${last?.status?.readyReplicas ?? 0} replicas ready`)
  return found.spec.clusterIP ?? ''
}

/** Asks until each replica has answered once, or often enough. */
async function showAnswers({ terminal, env, signal }: CommandContext, url: string): Promise<void> {
  const step = terminal.step(`Answers of ${url}`)
  const seen = new Map<string, number>()
  let failed = 0
  for (let i = 0; i < 40 && seen.size < REPLICAS; i++) {
    try {
      const limit = new AbortController()
      const cancel = env.clock.schedule(REQUEST_MS, () => limit.abort())
      const answer = await fetch(url, {
        headers: { connection: 'close' },
        signal: AbortSignal.any([signal, limit.signal]),
      })
      const text = (await answer.text()).trim().split('\n')[0] ?? ''
      cancel()
      seen.set(text, (seen.get(text) ?? 0) + 1)
    } catch (error) {
      if (signal.aborted) throw error
      if (++failed > 10) {
        step.fail('no answer')
        throw new CommandError(
          `Nothing answers at ${url}: ${error instanceof Error ? error.message : String(error)}`,
          'See: kubectl get endpointslices -l kubernetes.io/service-name=demo',
        )
      }
      await env.clock.sleep(100, signal)
    }
  }
  step.done(`${seen.size} different replicas`)
  for (const text of seen.keys()) terminal.print(`    ${text}`)
}
