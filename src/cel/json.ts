/** From values of CEL to JSON. */
import { formatDuration, formatTimestamp } from './time.ts'
import {
  CelDouble,
  CelDuration,
  CelMap,
  CelOpaque,
  CelOptional,
  CelTimestamp,
  CelTypeValue,
  CelUint,
  Parts,
  mapEntries,
  normalInt,
} from './values.ts'

/** A CEL value as JSON: times and durations as texts, types by their names. Throws for one that is too large. */
export function toJson(value: unknown): unknown {
  return typeof value !== 'object' || value === null ? value : partToJson(value, new Parts())
}

function partToJson(value: unknown, parts: Parts): unknown {
  parts.next()
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((each) => partToJson(each, parts))
  if (value instanceof CelDouble) return value.value
  if (value instanceof CelUint) return normalInt(value.value)
  if (value instanceof CelTimestamp) return formatTimestamp(value)
  if (value instanceof CelDuration) return formatDuration(value)
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  if (value instanceof CelOptional) return value.present ? partToJson(value.value, parts) : null
  if (value instanceof CelTypeValue) return value.name
  if (value instanceof CelOpaque) return value.toString()
  if (value instanceof CelMap)
    return Object.fromEntries(
      [...mapEntries(value)].map(([key, each]) => [String(toJson(key)), partToJson(each, parts)]),
    )
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [key, partToJson(each, parts)]),
  )
}
