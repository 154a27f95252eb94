/** The official JavaScript client: typed calls, patches of each type, watches, informers, streams to containers, a lease. */
import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import {
  ApiException,
  AppsV1Api,
  Attach,
  AuthorizationV1Api,
  CoordinationV1Api,
  CoreV1Api,
  Exec,
  KubeConfig,
  KubernetesObjectApi,
  Log,
  Metrics,
  PatchStrategy,
  PortForward,
  VersionApi,
  Watch,
  makeInformer,
  setHeaderOptions,
  type V1ConfigMap,
  type V1Status,
} from '@kubernetes/client-node'
import { eventually, startCluster, type TestCluster } from '../support/navarch.ts'

const NAMESPACE = 'default'
const as = (type: PatchStrategy) => setHeaderOptions('Content-Type', type)
const code =
  (wanted: number, reason?: string) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof ApiException, String(error))
    assert.equal(error.code, wanted)
    const body = (typeof error.body === 'string' ? JSON.parse(error.body) : error.body) as V1Status
    if (reason !== undefined) assert.equal(body.reason, reason)
    return true
  }
const map = (
  name: string,
  data: Record<string, string> = {},
): { namespace: string; body: V1ConfigMap } => ({
  namespace: NAMESPACE,
  body: { metadata: { name, labels: { of: 'test' } }, data },
})

describe('the official JavaScript client', () => {
  let cluster: TestCluster
  let config: KubeConfig
  let core: CoreV1Api

  before(async () => {
    cluster = await startCluster(['--runtime=simulated'])
    config = new KubeConfig()
    config.loadFromFile(cluster.kubeconfig)
    core = config.makeApiClient(CoreV1Api)
    await core.createNamespacedPod({
      namespace: NAMESPACE,
      body: {
        metadata: { name: 'web' },
        spec: { containers: [{ name: 'main', image: 'web', stdin: true }] },
      },
    })
    await eventually('the pod runs', async () => {
      const { status } = await core.readNamespacedPod({ name: 'web', namespace: NAMESPACE })
      return status?.phase === 'Running'
    })
  })
  after(() => cluster?.stop())

  test('the version, the nodes, what one may do, and what nodes use', async () => {
    const { major, minor } = await config.makeApiClient(VersionApi).getCode()
    assert.deepEqual([major, minor], ['1', '36'])
    const { items } = await core.listNode()
    assert.deepEqual(
      items.map(({ metadata }) => metadata?.name),
      ['node-1'],
    )
    const review = await config.makeApiClient(AuthorizationV1Api).createSelfSubjectAccessReview({
      body: {
        spec: { resourceAttributes: { verb: 'get', resource: 'pods', namespace: NAMESPACE } },
      },
    })
    assert.equal(review.status?.allowed, true)
    const usage = await new Metrics(config).getNodeMetrics()
    assert.deepEqual(
      usage.items.map(({ metadata }) => metadata.name),
      ['node-1'],
    )
  })

  test('objects are made, found, paged, replaced and deleted; errors are Status objects', async () => {
    const { metadata } = await core.createNamespacedConfigMap(map('a', { k: 'v' }))
    assert.match(metadata?.uid ?? '', /^[0-9a-f-]{36}$/)
    assert.ok(metadata?.creationTimestamp instanceof Date)
    await assert.rejects(core.createNamespacedConfigMap(map('a')), code(409, 'AlreadyExists'))
    await assert.rejects(
      core.readNamespacedConfigMap({ name: 'no', namespace: NAMESPACE }),
      code(404, 'NotFound'),
    )
    await core.createNamespacedConfigMap(map('b'))
    const list = { namespace: NAMESPACE, labelSelector: 'of=test', limit: 1 }
    const page = await core.listNamespacedConfigMap(list)
    assert.equal(page.items.length, 1)
    const rest = await core.listNamespacedConfigMap({
      ...list,
      _continue: page.metadata?._continue ?? '',
    })
    assert.deepEqual(
      rest.items.map(({ metadata: { name } = {} }) => name),
      ['b'],
    )
    const read = await core.readNamespacedConfigMap({ name: 'a', namespace: NAMESPACE })
    const replaced = await core.replaceNamespacedConfigMap({
      name: 'a',
      namespace: NAMESPACE,
      body: Object.assign(structuredClone(read), { data: { k: 'w' } }),
    })
    assert.deepEqual(replaced.data, { k: 'w' })
    await assert.rejects(
      core.replaceNamespacedConfigMap({
        name: 'a',
        namespace: NAMESPACE,
        body: Object.assign(structuredClone(read), { data: {} }),
      }),
      code(409, 'Conflict'),
    )
    const status = await core.deleteNamespacedConfigMap({ name: 'b', namespace: NAMESPACE })
    assert.equal(status.status, 'Success')
    await core.deleteCollectionNamespacedConfigMap({
      namespace: NAMESPACE,
      labelSelector: 'of=test',
    })
  })

  test('a patch of each type does what its type says', async () => {
    await core.createNamespacedConfigMap(map('p', { a: '1' }))
    const patch = async (type: PatchStrategy, body: unknown): Promise<unknown> =>
      (
        await core.patchNamespacedConfigMap(
          {
            name: 'p',
            namespace: NAMESPACE,
            body,
            ...(type === PatchStrategy.ServerSideApply ? { fieldManager: 'me', force: true } : {}),
          },
          as(type),
        )
      ).data
    assert.deepEqual(await patch(PatchStrategy.MergePatch, { data: { b: '2' } }), {
      a: '1',
      b: '2',
    })
    assert.deepEqual(await patch(PatchStrategy.StrategicMergePatch, { data: { a: null } }), {
      b: '2',
    })
    assert.deepEqual(
      await patch(PatchStrategy.JsonPatch, [{ op: 'add', path: '/data/c', value: '3' }]),
      {
        b: '2',
        c: '3',
      },
    )
    const applied = { apiVersion: 'v1', kind: 'ConfigMap', data: { d: '4' } }
    assert.deepEqual(await patch(PatchStrategy.ServerSideApply, applied), {
      b: '2',
      c: '3',
      d: '4',
    })
    await assert.rejects(
      core.patchNamespacedConfigMap(
        {
          name: 'p',
          namespace: NAMESPACE,
          body: { ...applied, data: { d: '5' } },
          fieldManager: 'you',
        },
        as(PatchStrategy.ServerSideApply),
      ),
      code(409, 'Conflict'),
    )
  })

  test('objects of any kind are applied without knowing it', async () => {
    const objects = KubernetesObjectApi.makeApiClient(config)
    const deployment = {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'd', namespace: NAMESPACE },
      spec: {
        replicas: 1,
        selector: { matchLabels: { app: 'd' } },
        template: {
          metadata: { labels: { app: 'd' } },
          spec: { containers: [{ name: 'main', image: 'x' }] },
        },
      },
    }
    await objects.create(deployment)
    await objects.patch(
      { ...deployment, spec: { ...deployment.spec, replicas: 2 } },
      undefined,
      undefined,
      'me',
      undefined,
      PatchStrategy.MergePatch,
    )
    const scale = await config
      .makeApiClient(AppsV1Api)
      .readNamespacedDeploymentScale({ name: 'd', namespace: NAMESPACE })
    assert.equal(scale.spec?.replicas, 2)
    await objects.delete(deployment, undefined, undefined, undefined, undefined, 'Foreground')
  })

  test('a watch tells of each change, and an informer has what there is', async () => {
    const path = `/api/v1/namespaces/${NAMESPACE}/configmaps`
    const list = () => core.listNamespacedConfigMap({ namespace: NAMESPACE })
    const informer = makeInformer(config, path, list)
    const seen: string[] = []
    for (const verb of ['add', 'update', 'delete'] as const)
      informer.on(verb, ({ metadata }) => seen.push(`${verb} ${metadata?.name}`))
    await informer.start()
    const { metadata } = await list()
    const events: string[] = []
    let ended = false
    const stop = await new Watch(config).watch(
      path,
      { resourceVersion: metadata?.resourceVersion, allowWatchBookmarks: true },
      (type: string, object: V1ConfigMap) => events.push(`${type} ${object.metadata?.name}`),
      () => (ended = true),
    )
    await core.createNamespacedConfigMap(map('w'))
    await core.patchNamespacedConfigMap(
      { name: 'w', namespace: NAMESPACE, body: { data: { x: 'y' } } },
      as(PatchStrategy.MergePatch),
    )
    await core.deleteNamespacedConfigMap({ name: 'w', namespace: NAMESPACE })
    await eventually('the watch has seen it all', () => events.includes('DELETED w'))
    assert.deepEqual(events, ['ADDED w', 'MODIFIED w', 'DELETED w'])
    await eventually('the informer too', () => seen.includes('delete w'))
    assert.deepEqual(
      seen.filter((each) => each.endsWith(' w')),
      ['add w', 'update w', 'delete w'],
    )
    assert.equal(informer.get('w', NAMESPACE), undefined)
    assert.ok(informer.get('kube-root-ca.crt', NAMESPACE))
    await informer.stop()
    stop.abort()
    await eventually('the watch has ended', () => ended)
  })

  test('a watch that asks for what cannot be is refused', async () => {
    const error = await new Promise<{ statusCode?: number }>((resolve, reject) => {
      new Watch(config)
        .watch('/api/v1/pods', { resourceVersionMatch: 'Exact' }, () => undefined, resolve)
        .catch(reject)
    })
    assert.equal(error.statusCode, 422)
  })

  test('a log is read and followed', async () => {
    const out = new PassThrough()
    const read = text(out)
    await new Log(config).log(NAMESPACE, 'web', 'main', out, { tailLines: 1 })
    assert.match(await read, /started \(simulated\)/)
  })

  test('a command runs, and its end is a Status', async () => {
    const status = await new Promise<V1Status>((resolve, reject) => {
      new Exec(config)
        .exec(
          NAMESPACE,
          'web',
          'main',
          ['true'],
          new PassThrough(),
          new PassThrough(),
          null,
          false,
          resolve,
        )
        .catch(reject)
    })
    assert.equal(status.status, 'Success')
    await assert.rejects(
      new Exec(config).exec(NAMESPACE, 'no', 'main', ['true'], null, null, null, false),
    )
  })

  test('a container is attached to', async () => {
    const socket = await new Attach(config).attach(
      NAMESPACE,
      'web',
      'main',
      new PassThrough(),
      null,
      null,
      false,
    )
    assert.equal(socket.readyState, 1)
    socket.close()
  })

  test('a port is forwarded', async () => {
    const [output, input] = [new PassThrough(), new PassThrough()]
    const socket = await new PortForward(config).portForward(
      NAMESPACE,
      'web',
      [80],
      output,
      null,
      input,
    )
    assert.ok('onclose' in socket)
    // Nothing listens in a container that is simulated: the connection is ended.
    await new Promise((resolve) => (socket.onclose = resolve))
  })

  test('a lease has one holder, and who reads late loses', async () => {
    const leases = config.makeApiClient(CoordinationV1Api)
    const at = { name: 'leader', namespace: NAMESPACE }
    await leases.createNamespacedLease({
      namespace: NAMESPACE,
      body: {
        metadata: { name: 'leader' },
        spec: { holderIdentity: 'one', leaseDurationSeconds: 15 },
      },
    })
    const [mine, theirs] = await Promise.all([
      leases.readNamespacedLease(at),
      leases.readNamespacedLease(at),
    ])
    const held = (who: string, lease: typeof mine) => {
      const body = structuredClone(lease)
      if (body.spec) body.spec.holderIdentity = who
      return { ...at, body }
    }
    await leases.replaceNamespacedLease(held('two', mine))
    await assert.rejects(
      leases.replaceNamespacedLease(held('three', theirs)),
      code(409, 'Conflict'),
    )
    const { spec } = await leases.readNamespacedLease(at)
    assert.equal(spec?.holderIdentity, 'two')
  })
})
