/** gRPC to a runtime's socket: calls by name, errors as `RuntimeError`. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as grpc from '@grpc/grpc-js'
import * as protoLoader from '@grpc/proto-loader'
import { grpcDeadline } from '#base'
import { RuntimeError } from '../runtime.ts'

export type Message = Readonly<Record<string, unknown>>

const LOAD_OPTIONS: protoLoader.Options = {
  keepCase: false,
  // Nanoseconds since 1970 do not fit a number.
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
}
// A list of a node's containers with long annotations passes the default of 4 MiB.
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024

export interface Connection {
  /** `deadlineMs` undefined: as long as it takes. */
  call<Result>(
    service: string,
    method: string,
    request: Message,
    options?: { readonly deadlineMs?: number; readonly signal?: AbortSignal },
  ): Promise<Result>
  /** Messages of a server stream, until it ends or the signal aborts. */
  stream<Result>(
    service: string,
    method: string,
    request: Message,
    signal: AbortSignal,
  ): AsyncIterable<Result>
  close(): void
}

export function connect(socketPath: string): Connection {
  const clients = new Map<string, grpc.Client>()
  const definitions = load()
  /** Cancelled when the connection closes: a closed channel never answers. */
  const open = new Set<{ cancel(): void }>()
  const clientOf = (service: string): grpc.Client => {
    let client = clients.get(service)
    if (client === undefined) {
      client = new grpc.Client(`unix://${socketPath}`, grpc.credentials.createInsecure(), {
        'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
        'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
        // A restarted runtime is to be found again quickly.
        'grpc.initial_reconnect_backoff_ms': 50,
        'grpc.max_reconnect_backoff_ms': 1000,
        'grpc.default_authority': 'localhost',
      })
      clients.set(service, client)
    }
    return client
  }
  const methodOf = (service: string, method: string) => {
    const definition = (definitions[service] as grpc.ServiceDefinition | undefined)?.[method]
    if (definition === undefined) throw new Error(`No method ${service}/${method} in the schema`)
    return definition
  }
  return {
    call: (service, method, request, { deadlineMs, signal } = {}) =>
      new Promise((resolve, reject) => {
        const { path, requestSerialize, responseDeserialize } = methodOf(service, method)
        const call = clientOf(service).makeUnaryRequest(
          path,
          requestSerialize,
          responseDeserialize,
          request,
          new grpc.Metadata(),
          deadlineMs === undefined ? {} : { deadline: grpcDeadline(deadlineMs) },
          (error, value) => {
            signal?.removeEventListener('abort', cancel)
            open.delete(call)
            if (error === null) resolve(value as never)
            else reject(signal?.aborted ? asError(signal.reason) : runtimeError(error, method))
          },
        )
        const cancel = () => call.cancel()
        open.add(call)
        signal?.addEventListener('abort', cancel, { once: true })
      }),
    async *stream<Result>(service: string, method: string, request: Message, signal: AbortSignal) {
      const { path, requestSerialize, responseDeserialize } = methodOf(service, method)
      const call = clientOf(service).makeServerStreamRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
      )
      const cancel = () => call.cancel()
      open.add(call)
      signal.addEventListener('abort', cancel, { once: true })
      try {
        for await (const message of call) yield message as Result
      } catch (error) {
        if (!signal.aborted) throw runtimeError(error as grpc.ServiceError, method)
      } finally {
        signal.removeEventListener('abort', cancel)
        open.delete(call)
        call.cancel()
      }
    },
    close: () => {
      for (const call of open) call.cancel()
      for (const client of clients.values()) client.close()
    },
  }
}

const asError = (reason: unknown): Error =>
  reason instanceof Error ? reason : new Error(String(reason))

function runtimeError(error: grpc.ServiceError, method: string): RuntimeError {
  const text = error.details || error.message || `${method} failed`
  switch (error.code) {
    case grpc.status.NOT_FOUND:
      return new RuntimeError('notFound', text)
    case grpc.status.DEADLINE_EXCEEDED:
      return new RuntimeError('deadline', text)
    case grpc.status.UNAVAILABLE:
      return new RuntimeError('unavailable', text)
    case grpc.status.UNIMPLEMENTED:
      return new RuntimeError('unimplemented', text)
    default:
      return new RuntimeError('failed', text)
  }
}

let loaded: Readonly<Record<string, unknown>> | undefined
/** Parsed once: some ten milliseconds. */
function load(): Readonly<Record<string, unknown>> {
  loaded ??= {
    ...protoLoader.loadSync(schemaFile('cri-v1.proto'), LOAD_OPTIONS),
    ...protoLoader.fromJSON(CONTAINERD_EVENTS, LOAD_OPTIONS),
  }
  return loaded
}

/** The facts are beside the sources, and beside the bundle: look upwards for them. */
function schemaFile(name: string): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const path = join(folder, 'facts', 'proto', name)
    if (existsSync(path)) return path
    if (folder === dirname(folder)) {
      throw new Error(`Cannot find facts/proto/${name} above ${import.meta.url}`)
    }
  }
}

/** containerd's own events service, as much of it as is needed: CRI had none before containerd 1.7. */
const CONTAINERD_EVENTS: Parameters<typeof protoLoader.fromJSON>[0] = {
  nested: {
    containerd: {
      nested: {
        services: {
          nested: {
            events: {
              nested: {
                v1: {
                  nested: {
                    Events: {
                      methods: {
                        Subscribe: {
                          requestType: 'SubscribeRequest',
                          responseType: 'Envelope',
                          responseStream: true,
                          comment: '',
                        },
                      },
                    },
                    SubscribeRequest: {
                      fields: { filters: { rule: 'repeated', type: 'string', id: 1 } },
                    },
                    Envelope: {
                      fields: {
                        namespace: { type: 'string', id: 2 },
                        topic: { type: 'string', id: 3 },
                        event: { type: 'Packed', id: 4 },
                      },
                    },
                    Packed: {
                      fields: {
                        typeUrl: { type: 'string', id: 1 },
                        value: { type: 'bytes', id: 2 },
                      },
                    },
                  },
                },
              },
            },
          },
        },
      },
    },
  },
}
