/**
 * The largest object that is stored. etcd takes requests of 1.5 MiB, and its client sends none beyond 2 MiB; the
 * messages are theirs, which clients know. What counts is the form that Kubernetes stores: protobuf for its own kinds.
 */
import { StatusError, type KubeObject, type ResourceDefinition } from '#machinery'
import type { Codec } from '../codec/index.ts'

/** etcd's `--max-request-bytes`. */
const MOST_TAKEN = 1.5 * 1024 * 1024
/** Of etcd's client. */
const MOST_SENT = 2 * 1024 * 1024
/** What the key, its revision and the request around them take, about. */
const REQUEST_BYTES = 256

/** Definitions and APIServices are stored as JSON. */
const AS_JSON: ReadonlySet<string> = new Set(['apiextensions.k8s.io', 'apiregistration.k8s.io'])

/** Throws for objects that are too large; `bytes` is their JSON. */
export function refuseTooLarge(
  codec: Pick<Codec, 'encoder'>,
  definition: ResourceDefinition,
  object: unknown,
  bytes: Uint8Array,
): void {
  if (bytes.length <= MOST_TAKEN - REQUEST_BYTES) return
  const size =
    (definition.isCustom === true || AS_JSON.has(definition.facts.group)
      ? bytes.length
      : codec.encoder.encodeProtobuf(object as KubeObject).length) + REQUEST_BYTES
  if (size > MOST_SENT)
    throw new StatusError(
      '',
      `rpc error: code = ResourceExhausted desc = trying to send message larger than max (${size} vs. ${MOST_SENT})`,
    )
  if (size > MOST_TAKEN) throw new StatusError('', 'etcdserver: request is too large')
}
