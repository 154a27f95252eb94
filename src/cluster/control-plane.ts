/** The control plane: API server, controllers and scheduler over a store. */
import { X509Certificate } from 'node:crypto'
import { definitions as stableDefinitions, namespaces, typeTable } from '#api'
import {
  accessControl,
  builtInAdmission,
  connectHandlers,
  createDescriptions,
  createAggregator,
  createApiServer,
  createWebhookClient,
  ensureAuthenticationConfig,
  ensureBootstrap,
  ensureFlowControl,
  ensureRbac,
  ensureTokenTracking,
  inScope,
  metricsReads,
  usageOf,
  readRequest,
  signLegacyToken,
  tokenSigner,
  followAggregation,
  followPolicies,
  keepFlowStatus,
  type ApiServer,
  type Audit,
  type NodeApis,
  type OpenedAccess,
  type OpenedAdmission,
  type Authorities,
  type Pki,
} from '#apiserver'
import type { Env } from '#base'
import {
  createClient,
  createEventRecorder,
  createInformers,
  type Client,
  type Informers,
  type NodeApi,
} from '#client'
import { startControllers } from '#controllers'
import type { RequestUser, ResourceDefinition } from '#machinery'
import { startScheduler } from '#scheduler'
import type { Storage } from '#storage'
import { nthAddress } from './addresses.ts'
import { alone, elected, keepIdentity } from './leadership.ts'
import { clusterStartChecks } from './start-checks.ts'
import { BUILD } from './version.ts'

export interface ControlPlaneOptions {
  readonly env: Env
  readonly storage: Storage
  readonly pki: Authorities & Partial<Pick<Pki, 'server'>>
  readonly serviceCidr: string
  readonly podCidr: string
  /** Freeze what caches share, so that a test sees who changes it. */
  readonly freeze?: boolean
  readonly audit?: Audit
  /** Default: what a stock cluster serves. */
  readonly definitions?: readonly ResourceDefinition[]
  readonly access?: OpenedAccess
  readonly admission?: OpenedAdmission
  readonly readyChecks?: Readonly<Record<string, () => void | Promise<void>>>
  /** Name of the machine: its parts then hold Leases. Absent: nothing else can be there to run them. */
  readonly host?: string
}

export interface ControlPlane {
  readonly server: ApiServer
  /** With the rights of `system:masters`. */
  readonly client: Client
  readonly informers: Informers
  clientFor(user: RequestUser): Client
  /** How the API server reaches the kubelets of this process. */
  readonly nodes: Map<string, NodeApi>
  stop(): Promise<void>
}

const AUTHENTICATED = 'system:authenticated'
const MASTERS: RequestUser = { name: 'system:navarch', groups: ['system:masters', AUTHENTICATED] }
const SCHEDULER: RequestUser = { name: 'system:kube-scheduler', groups: [AUTHENTICATED] }
const CONTROLLERS: RequestUser = {
  name: 'system:kube-controller-manager',
  groups: [AUTHENTICATED],
}

/** A server that answers; nothing else runs yet. */
export function makeServer(
  {
    env: outer,
    storage,
    pki,
    serviceCidr,
    freeze,
    audit,
    readyChecks,
    access: more,
    admission: chosen,
    definitions = stableDefinitions,
  }: ControlPlaneOptions,
  nodeApi: NodeApis,
): ApiServer {
  const env: Env = { ...outer, log: outer.log.for('apiserver') }
  const server: ApiServer = createApiServer({
    env,
    definitions,
    types: typeTable,
    storage,
    serviceRange: serviceCidr,
    descriptions: createDescriptions({ types: typeTable, readText: env.fs.readText }),
    ...(freeze === undefined ? {} : { freeze }),
    startChecks: clusterStartChecks(() => server.inside.read),
    ...(readyChecks === undefined ? {} : { readyChecks }),
    components: COMPONENTS,
    ...(audit === undefined ? {} : { audit }),
    build: BUILD,
    extend(inside) {
      const access = accessControl(inside, {
        ...more,
        env,
        serviceAccountKeys: [pki.serviceAccountKey, ...pki.retiredServiceAccountKeys],
        clientAuthorities: [pki.authority.certificate],
        frontProxyAuthorities: [pki.frontProxyAuthority.certificate],
      })
      const { call: callWebhook } = createWebhookClient({ env, read: inside.read })
      return {
        callWebhook,
        authenticator: access.authenticator,
        authorizer: access.authorizer,
        admission: builtInAdmission(inside, {
          env,
          authorizer: access.authorizer,
          callWebhook,
          ...(chosen === undefined ? {} : { chosen }),
          last: [access.escalationCheck],
        }),
        virtualResources: access.virtualResources,
        issueToken: access.issueToken,
        pages: access.pages,
        aggregator: createAggregator({
          env,
          read: inside.read,
          frontProxyClient: pki.frontProxyClient,
        }),
        connect: connectHandlers({ env, read: inside.read, nodeApi }),
        virtualReads: metricsReads({ env, read: inside.read, nodeApi }),
      }
    },
  })
  return server
}

/** They run in this process: who gets an answer knows that they are there. */
const COMPONENTS = { 'controller-manager': () => undefined, scheduler: () => undefined }

/** The common name under which the server shows itself to kubelets. */
const KUBELET_CLIENT = 'kube-apiserver-kubelet-client'

/** What certificates of nodes must not be for: the API server's names. */
const reservedNames = (
  { server }: ControlPlaneOptions['pki'],
  ...addresses: readonly string[]
): readonly string[] => {
  const names = server === undefined ? '' : new X509Certificate(server.certificate).subjectAltName
  const own = [...(names ?? '').matchAll(/DNS:([^,\s]+)/g)].map((match) => match[1] ?? '')
  return [
    ...addresses,
    '127.0.0.1',
    // A host name is not the server's alone: the same machine may be a node.
    ...own.filter((name) => name === 'localhost' || name.startsWith('kubernetes')),
    KUBELET_CLIENT,
  ]
}

/** Bootstrap objects, controllers and scheduler upon a server that is ready. Resolves when they run. */
export async function startControlPlane(
  options: ControlPlaneOptions,
  apiServer: { readonly address: string; readonly port: number },
  given?: { server: ApiServer; nodes: Map<string, NodeApi> },
): Promise<ControlPlane> {
  const { env, pki, serviceCidr, podCidr } = options
  const nodes = given?.nodes ?? new Map<string, NodeApi>()
  const server = given?.server ?? makeServer(options, (name) => nodes.get(name))
  await server.ready
  const masters = server.transport(MASTERS)
  await ensureBootstrap(masters, {
    apiServer,
    clusterIP: nthAddress(serviceCidr, 1),
    serviceCidr,
  })
  await ensureRbac(masters)
  await ensureFlowControl(masters)
  await ensureAuthenticationConfig(masters, {
    clientAuthority: pki.authority.certificate,
    frontProxyAuthority: pki.frontProxyAuthority.certificate,
  })
  await ensureTokenTracking(masters, env.clock)

  const stop = new AbortController()
  const { signal } = stop
  const client = createClient(masters)
  const informers = createInformers(client, env, signal)
  const clientFor = (user: RequestUser): Client => createClient(server.transport(user))
  const signer = tokenSigner(pki.serviceAccountKey)
  const identity = server.inside.read.get(namespaces, '', 'kube-system')?.metadata.uid ?? ''
  const { host } = options
  const leadership = host === undefined ? alone(signal) : elected(env, identity, signal)
  leadership.run('kube-controller-manager', clientFor(CONTROLLERS), (term) =>
    startControllers(
      { clientFor, informers, env, signal: term },
      {
        rootCertificate: pki.authority.certificate,
        quota: { usageOf, inScope },
        signToken: (account, secret) => signLegacyToken(signer, account, secret),
        podCidr,
        certificates: {
          sign: pki.sign,
          read: async (text) => {
            const request = await readRequest(text)
            return { ...request.subject, ...request }
          },
          reserved: reservedNames(pki, apiServer.address, nthAddress(serviceCidr, 1)),
        },
      },
    ),
  )
  if (host !== undefined) void keepIdentity(client, env, { host, identity }, signal)
  server.aggregator?.run({
    transport: masters,
    builtIn: (options.definitions ?? stableDefinitions).map(({ facts }) => facts),
    signal,
  })
  followPolicies({ inside: server.inside, transport: masters, env, signal })
  void followAggregation({ read: server.inside.read, transport: masters, env, signal })
  void keepFlowStatus({ read: server.inside.read, transport: masters, env, signal })
  const schedulerClient = clientFor(SCHEDULER)
  const scheduling = {
    client: schedulerClient,
    informers,
    events: createEventRecorder(schedulerClient, env, {
      component: 'default-scheduler',
      ...(host === undefined ? {} : { host }),
    }),
    env,
  }
  leadership.run('kube-scheduler', schedulerClient, (term) => void startScheduler(scheduling, term))
  return {
    server,
    client,
    informers,
    clientFor,
    nodes,
    async stop() {
      stop.abort(new Error('the control plane is stopping'))
      await leadership.ended()
      await server.close()
    },
  }
}
