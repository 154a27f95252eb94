/** Which part of a log is asked for, as the query of a request says it. */
import {
  badRequest,
  FieldPath,
  forbiddenField,
  invalid,
  invalidValue,
  notSupported,
  type FieldError,
} from '#machinery'
import type { LogOptions } from './node-api.ts'

/** Whether a flag is set in a query, read as Go reads them: present and not one of its words for false. */
export const queryFlag = (query: URLSearchParams, name: string): boolean => {
  const value = query.get(name)
  return value !== null && !['', '0', 'f', 'F', 'false', 'FALSE', 'False'].includes(value)
}

/** What of a log a query asks for. Throws 400 for what cannot be understood, 422 for what contradicts itself. */
export function logOptions(
  query: URLSearchParams,
  pod: string,
  containerFor: (asked: string) => string,
): LogOptions {
  const errors: FieldError[] = []
  const number = (name: string, least: number): number | undefined => {
    const text = query.get(name)
    if (text === null || text === '') return undefined
    const value = Number(text)
    if (!Number.isInteger(value))
      throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`)
    if (value < least)
      errors.push(
        invalidValue(
          FieldPath.of(name),
          value,
          least === 0 ? 'must be greater than or equal to 0' : 'must be greater than 0',
        ),
      )
    return value
  }
  const tailLines = number('tailLines', 0)
  const limitBytes = number('limitBytes', 1)
  const sinceSeconds = number('sinceSeconds', 1)
  const sinceTime = query.get('sinceTime') || undefined
  const stream = query.get('stream') || undefined
  if (sinceSeconds !== undefined && sinceTime !== undefined)
    errors.push(
      forbiddenField(
        FieldPath.root,
        'at most one of `sinceTime` or `sinceSeconds` may be specified',
      ),
    )
  if (sinceTime !== undefined && Number.isNaN(Date.parse(sinceTime)))
    throw badRequest(`parsing time ${JSON.stringify(sinceTime)}: it is not in RFC 3339`)
  if (stream !== undefined && !isStream(stream))
    errors.push(notSupported(FieldPath.of('stream'), stream, STREAMS))
  else if (stream !== undefined && stream !== 'All' && tailLines !== undefined)
    errors.push(
      forbiddenField(
        FieldPath.root,
        '`tailLines` and specific `stream` are mutually exclusive for now',
      ),
    )
  if (errors.length > 0) throw invalid({ group: '', kind: 'PodLogOptions' }, pod, errors)
  return {
    container: containerFor(query.get('container') ?? ''),
    ...(queryFlag(query, 'follow') ? { follow: true } : {}),
    ...(queryFlag(query, 'previous') ? { previous: true } : {}),
    ...(queryFlag(query, 'timestamps') ? { timestamps: true } : {}),
    ...(tailLines === undefined ? {} : { tailLines }),
    ...(limitBytes === undefined ? {} : { limitBytes }),
    ...(sinceSeconds === undefined ? {} : { sinceSeconds }),
    ...(sinceTime === undefined ? {} : { sinceTime }),
    ...(isStream(stream) ? { stream } : {}),
  }
}

const STREAMS = ['All', 'Stderr', 'Stdout'] as const
const isStream = (name: string | undefined): name is (typeof STREAMS)[number] =>
  STREAMS.some((known) => known === name)

/** The same as a query; `container` is no part of it. */
export function logQuery(options: LogOptions): URLSearchParams {
  const query = new URLSearchParams()
  for (const name of ['follow', 'previous', 'timestamps'] as const)
    if (options[name] === true) query.set(name, 'true')
  for (const name of ['sinceSeconds', 'sinceTime', 'tailLines', 'limitBytes', 'stream'] as const) {
    const value = options[name]
    if (value !== undefined) query.set(name, String(value))
  }
  return query
}
