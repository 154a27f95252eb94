/** What a custom resource says of its types. */
import type { ExtraSchemas, JsonObject, Shape, TypeTable } from '#machinery'

/** How a value takes the form of a custom resource. */
export interface FormOptions {
  readonly unknown?: string[]
  /** Nulls stay where none may be. */
  readonly keepsNulls?: boolean
}

/** What is known of a custom resource's types. */
export interface OwnSchemas {
  /** For decoding, patches and the ownership of fields: what the definition's `facts.type` leads to. */
  readonly types?: TypeTable
  /** A value in the form of the resource, as a copy; paths of fields that it does not have are added to `unknown`. */
  readonly form?: (value: JsonObject, options?: FormOptions) => JsonObject
  /** How objects are taken apart for the ownership of fields. */
  readonly shape?: Shape
  /** Values of the wrong type in a configuration that is applied: where, what should be there in Go's words, and what is. */
  readonly mismatches?: (
    value: JsonObject,
  ) => readonly { readonly path: string; readonly expected: string; readonly found: unknown }[]
  /** The fields at the root, besides those that every object has. */
  readonly fields?: readonly string[]
  /** For the API descriptions, by definition name, as they are to be published. */
  readonly published?: Readonly<Record<'v2' | 'v3', ExtraSchemas>>
}
