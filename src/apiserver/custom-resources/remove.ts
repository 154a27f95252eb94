/** The objects of a definition that is being removed: all are deleted, and nobody is asked whether they may be. */
import { StatusError, type RequestUser, type ResourceDefinition } from '#machinery'
import type { Exchange } from '../exchange.ts'
import { parseDeleteOptions } from '../options.ts'
import type { Registry } from '../registry.ts'
import { deleteObject, type Writer } from '../writes/index.ts'

/** Deletes that are under way at once. */
const WORKERS = 16

/** Begins the end of every object of a resource; says how many wait for somebody else. */
export const objectRemover =
  (writer: Writer, registry: Registry, user: RequestUser) =>
  async (stored: ResourceDefinition, signal: AbortSignal): Promise<number> => {
    const { group, resource } = stored.facts
    // As they are stored, whatever version that is: who converts them may be gone already.
    const { convert: _, ...definition } = stored
    const collection = registry.find(group, resource)?.collection
    if (collection === undefined) return 0
    await collection.ready
    await collection.refresh(signal)
    const alone: Writer = { ...writer, admission: () => [] }
    const options = parseDeleteOptions(undefined, new URLSearchParams())
    const waiting = collection.cache.list().entries.values()
    const worker = async (): Promise<void> => {
      for (const { object } of waiting) {
        const { name, namespace = '' } = object.metadata
        const exchange = ownExchange(user, writer.env.random.uuid(), signal)
        try {
          await deleteObject(
            alone,
            { exchange, definition, collection, namespace, subresource: '' },
            name,
            options,
          )
        } catch (error) {
          if (!(error instanceof StatusError) || error.reason !== 'NotFound') throw error
        }
      }
    }
    await Promise.all(Array.from({ length: WORKERS }, worker))
    return collection.cache.size
  }

const ownExchange = (user: RequestUser, id: string, signal: AbortSignal): Exchange => ({
  method: 'DELETE',
  path: '',
  query: new URLSearchParams(),
  headers: {},
  body: () => Promise.resolve(new Uint8Array()),
  remoteAddress: '',
  trustedUser: user,
  user,
  signal,
  id,
  warnings: [],
})
