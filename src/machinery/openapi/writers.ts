/** Pieces of API descriptions in protobuf: fields, texts, maps, and values of any kind as YAML. */
import { stringify } from 'yaml'
import type { JsonObject } from '../object.ts'

export type Bytes = readonly Uint8Array[]
export type Writer = (value: unknown) => Bytes

const encoder = new TextEncoder()
export const EMPTY: Bytes = []

export function varint(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  while (rest > 127) {
    bytes.push((rest % 128) | 128)
    rest = Math.floor(rest / 128)
  }
  bytes.push(rest)
  return Uint8Array.from(bytes)
}

const lengthOf = (bytes: Bytes): number =>
  bytes.reduce((sum, { byteLength }) => sum + byteLength, 0)
/** A field that is text, bytes or a message. */
export const field = (number: number, content: Bytes): Bytes => [
  varint(number * 8 + 2),
  varint(lengthOf(content)),
  ...content,
]
export const textBytes = (text: string): Bytes => [encoder.encode(text)]

// These write whole fields; what they take as content writes the inside of one.
export const text =
  (number: number): Writer =>
  (value) =>
    field(number, textBytes(String(value)))
export const texts =
  (number: number): Writer =>
  (value) =>
    (value as readonly string[]).flatMap((each) => field(number, textBytes(each)))
export const flag =
  (number: number): Writer =>
  (value) =>
    value === true ? [varint(number * 8), varint(1)] : EMPTY
export const whole =
  (number: number): Writer =>
  (value) => [varint(number * 8), varint(Number(value))]
export const double =
  (number: number): Writer =>
  (value) => {
    const bytes = new Uint8Array(8)
    new DataView(bytes.buffer).setFloat64(0, Number(value), true)
    return [varint(number * 8 + 1), bytes]
  }
/** Any value, as YAML in blocks: clients compare it as text. */
const anyContent = (value: unknown): Bytes =>
  field(2, textBytes(value === true ? 'true\n' : stringify(value)))
export const any =
  (number: number): Writer =>
  (value) =>
    field(number, anyContent(value))
export const anys =
  (number: number): Writer =>
  (value) =>
    (value as readonly unknown[]).flatMap((each) => field(number, anyContent(each)))
export const message =
  (number: number, content: Writer): Writer =>
  (value) =>
    field(number, content(value))
export const messages =
  (number: number, content: Writer): Writer =>
  (value) =>
    (value as readonly unknown[]).flatMap((each) => field(number, content(each)))
export const named = (number: number, name: string, content: Bytes): Bytes =>
  field(number, [...field(1, textBytes(name)), ...field(2, content)])
/** A map: pairs of name and value inside a message of their own. */
export const map =
  (number: number, content: Writer): Writer =>
  (value) =>
    field(
      number,
      Object.entries(value as JsonObject).flatMap(([name, each]) => named(1, name, content(each))),
    )

/** An object with the members that the table names, and extensions. */
export function object(members: () => Readonly<Record<string, Writer>>, extension: number): Writer {
  let table: Readonly<Record<string, Writer>> | undefined
  return (value) => {
    table ??= members()
    return Object.entries(value as JsonObject).flatMap(([key, each]) => {
      if (each === undefined) return EMPTY
      if (key.startsWith('x-')) return named(extension, key, anyContent(each))
      return table?.[key]?.(each) ?? EMPTY
    })
  }
}

export const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [value])

export const join = (bytes: Bytes): Uint8Array => Buffer.concat(bytes)
