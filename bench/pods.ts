import { typeTable } from '#api'
import { encodeProtobuf, type KubeObject } from '#machinery'

/** A pod as an application has it. */
export const podOf = (name: string, more: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, labels: { app: 'web', 'pod-template-hash': '5d59d67564' } },
  spec: {
    ...more,
    containers: [
      {
        name: 'main',
        image: 'registry.example.com/shop/web:v1.2.3',
        ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }],
        env: [
          { name: 'A', value: 'one' },
          { name: 'B', value: 'two' },
          {
            name: 'NODE',
            valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'spec.nodeName' } },
          },
        ],
        resources: { requests: { cpu: '100m', memory: '64Mi' }, limits: { memory: '128Mi' } },
        readinessProbe: { httpGet: { path: '/ready', port: 8080 }, periodSeconds: 5 },
        livenessProbe: { httpGet: { path: '/live', port: 8080 }, periodSeconds: 10 },
        volumeMounts: [{ name: 'config', mountPath: '/etc/shop' }],
      },
    ],
    volumes: [{ name: 'config', configMap: { name: 'shop' } }],
    terminationGracePeriodSeconds: 30,
  },
})

/** No scheduler takes it, so that what is measured is the API alone. */
export const pod = (name: string): string =>
  JSON.stringify(podOf(name, { schedulerName: 'nobody', automountServiceAccountToken: false }))

/** The same pod in the form in which Go's clients send it when they are told to. */
export function podMessage(name: string): Uint8Array {
  return encodeProtobuf(typeTable, 'io.k8s.api.core.v1.Pod', JSON.parse(pod(name)) as KubeObject)
}
