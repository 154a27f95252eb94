import assert from 'node:assert/strict'
import { test } from 'node:test'
import { trying } from '../../definitions.testing.ts'
import { pullsAlways } from './image.ts'
import { container, pod, pods, type Part } from './pod.testing.ts'

test('a pod of one image is filled in as Kubernetes does it', () => {
  assert.deepEqual(pods.defaulted(pod())['spec'], {
    containers: [
      {
        name: 'app',
        image: 'nginx:1.27',
        resources: {},
        terminationMessagePath: '/dev/termination-log',
        terminationMessagePolicy: 'File',
        imagePullPolicy: 'IfNotPresent',
      },
    ],
    enableServiceLinks: true,
    dnsPolicy: 'ClusterFirst',
    restartPolicy: 'Always',
    securityContext: {},
    terminationGracePeriodSeconds: 30,
    schedulerName: 'default-scheduler',
  })
})

test('an image without a tag, or with the tag latest, is always pulled', () => {
  const cases: readonly (readonly [string, boolean])[] = [
    ['nginx', true],
    ['nginx:latest', true],
    ['localhost:5000/nginx', true],
    ['localhost:5000/nginx:1', false],
    [`nginx@sha256:${'a'.repeat(64)}`, false],
    [`nginx:latest@sha256:${'a'.repeat(64)}`, true],
    ['', false],
  ]
  for (const [image, always] of cases) assert.equal(pullsAlways(image), always, image)
})

test('probes, ports, volumes and limits are completed', () => {
  const spec = pods.defaulted(
    pod({
      hostNetwork: true,
      serviceAccount: 'robot',
      containers: [
        container({
          ports: [{ containerPort: 80 }],
          livenessProbe: { httpGet: { port: 80 } },
          resources: { limits: { cpu: '0.5', memory: '1024Mi' } },
        }),
      ],
      volumes: [
        { name: 'a' },
        { name: 'b', secret: { secretName: 's' } },
        { name: 'c', projected: { sources: [{ serviceAccountToken: { path: 't' } }] } },
        { name: 'd', hostPath: { path: '/x' } },
      ],
    }),
  )['spec'] as Part
  const [app] = spec['containers'] as Part[]
  assert.deepEqual(app?.['ports'], [{ containerPort: 80, protocol: 'TCP', hostPort: 80 }])
  assert.deepEqual(app?.['livenessProbe'], {
    httpGet: { port: 80, path: '/', scheme: 'HTTP' },
    timeoutSeconds: 1,
    periodSeconds: 10,
    successThreshold: 1,
    failureThreshold: 3,
  })
  assert.deepEqual(app?.['resources'], {
    limits: { cpu: '500m', memory: '1Gi' },
    requests: { cpu: '500m', memory: '1Gi' },
  })
  assert.equal(spec['serviceAccountName'], 'robot')
  assert.deepEqual(spec['volumes'], [
    { name: 'a', emptyDir: {} },
    { name: 'b', secret: { secretName: 's', defaultMode: 420 } },
    {
      name: 'c',
      projected: {
        sources: [{ serviceAccountToken: { path: 't', expirationSeconds: 3600 } }],
        defaultMode: 420,
      },
    },
    { name: 'd', hostPath: { path: '/x', type: '' } },
  ])
})

test('amounts are rounded up to thousandths', () => {
  const limits = { cpu: '100u', memory: '0.5' }
  const { spec } = pods.defaulted(pod({ containers: [container({ resources: { limits } })] })) as {
    spec: { containers: { resources: Part }[] }
  }
  assert.deepEqual(spec.containers[0]?.resources['limits'], { cpu: '1m', memory: '500m' })
})

test('a template is not given what only a pod has', () => {
  const deployments = trying('apps', 'v1', 'deployments')
  const { spec } = deployments.defaulted({
    spec: {
      selector: { matchLabels: { a: 'b' } },
      template: {
        spec: { containers: [container({ resources: { limits: { cpu: '1' } } })] },
      },
    },
  }) as { spec: { template: { spec: Part } } }
  assert.equal(spec.template.spec['enableServiceLinks'], undefined)
  assert.deepEqual((spec.template.spec['containers'] as Part[])[0]?.['resources'], {
    limits: { cpu: '1' },
  })
})
