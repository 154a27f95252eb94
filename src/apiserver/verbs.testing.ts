/** Objects and requests of tests of verbs. */
import assert from 'node:assert/strict'
import type { Transport } from '#client'
import { StatusError, type JsonObject, type StatusReason } from '#machinery'

export const PODS = '/api/v1/namespaces/shop/pods'

export const MAPS = '/api/v1/namespaces/shop/configmaps'

export const DEPLOYMENTS = '/apis/apps/v1/namespaces/shop/deployments'

export const pod = (name: string, more: JsonObject = {}): JsonObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, ...(more['metadata'] as object) },
  spec: { containers: [{ name: 'main', image: 'web:1' }], ...(more['spec'] as object) },
})

export const map = (name: string, data: Record<string, string> = {}, metadata: object = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, ...metadata },
  data,
})

export const deployment = (name: string): JsonObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name },
  spec: {
    replicas: 2,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: { containers: [{ name: 'main', image: 'web:1' }] },
    },
  },
})

export const post = async <T>(
  api: Transport,
  path: string,
  body: unknown,
  query = {},
): Promise<T> => (await api.request({ method: 'POST', path, body, query })) as T

export const get = async <T>(api: Transport, path: string): Promise<T> =>
  (await api.request({ method: 'GET', path })) as T

export const put = async <T>(api: Transport, path: string, body: unknown, query = {}): Promise<T> =>
  (await api.request({ method: 'PUT', path, body, query })) as T

export const patch = async <T>(
  api: Transport,
  path: string,
  type: 'json-patch+json' | 'merge-patch+json' | 'strategic-merge-patch+json' | 'apply-patch+yaml',
  body: unknown,
  query = {},
): Promise<T> =>
  (await api.request({
    method: 'PATCH',
    path,
    body,
    query,
    contentType: `application/${type}`,
  })) as T

export const remove = async <T>(
  api: Transport,
  path: string,
  body?: unknown,
  query = {},
): Promise<T> => (await api.request({ method: 'DELETE', path, body, query })) as T

export const refused =
  (reason: StatusReason, message?: RegExp) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof StatusError, String(error))
    assert.equal(error.reason, reason, error.message)
    if (message !== undefined) assert.match(error.message, message)
    return true
  }
