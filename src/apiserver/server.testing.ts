/** A server over a memory store, for tests: everybody may do everything, unless told otherwise. */
import { definitions, typeTable } from '#api'
import { virtualEnv, type VirtualEnv } from '#base'
import type { Transport } from '#client'
import { createMemoryStorage, type Storage } from '#storage'
import { createApiServer } from './create-server.ts'
import type { ApiServer, ApiServerOptions, Extensions } from './server.ts'

export const ADMIN = { name: 'admin', groups: ['system:masters', 'system:authenticated'] }

export const allowAll: Pick<Extensions, 'authenticator' | 'authorizer' | 'admission'> = {
  authenticator: { authenticate: async () => ({ user: ADMIN }) },
  authorizer: { authorize: async () => ({ verdict: 'allow', reason: '' }) },
  admission: [],
}

export interface TestServer {
  readonly server: ApiServer
  readonly storage: Storage
  readonly env: VirtualEnv
  readonly api: Transport
}

export async function testServer(
  options: Partial<Omit<ApiServerOptions, 'extend'>> & {
    readonly extensions?: Partial<Extensions>
  } = {},
): Promise<TestServer> {
  const env = virtualEnv()
  const { extensions, ...more } = options
  const storage = options.storage ?? createMemoryStorage(env)
  const server = createApiServer({
    env,
    definitions,
    types: typeTable,
    storage,
    freeze: true,
    extend: () => ({ ...allowAll, ...extensions }),
    ...more,
  })
  await server.ready
  return { server, storage, env, api: server.transport(ADMIN) }
}
