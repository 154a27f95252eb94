/** What upstream shows below /debug/api_priority_and_fairness: who waits where, as comma-separated lines. */
import type { Exchange, Reply } from '../exchange.ts'
import { textReply } from '../replies.ts'
import type { FlowControl } from './flow-control.ts'
import type { LevelState, WaitingRequest } from './levels.ts'

const BASE = '/debug/api_priority_and_fairness'
const HEADERS = {
  levels: [
    'PriorityLevelName',
    'ActiveQueues',
    'IsIdle',
    'IsQuiescing',
    'WaitingRequests',
    'ExecutingRequests',
    'DispatchedRequests',
    'RejectedRequests',
    'TimedoutRequests',
    'CancelledRequests',
  ],
  queues: [
    'PriorityLevelName',
    'Index',
    'PendingRequests',
    'ExecutingRequests',
    'SeatsInUse',
    'NextDispatchR',
    'InitialSeatsSum',
    'MaxSeatsSum',
    'TotalWorkSum',
  ],
  requests: [
    'PriorityLevelName',
    'FlowSchemaName',
    'QueueIndex',
    'RequestIndexInQueue',
    'FlowDistingsher',
    'ArriveTime',
    'InitialSeats',
    'FinalSeats',
    'AdditionalLatency',
    'StartTime',
  ],
} as const
const DETAILS = [
  'UserName',
  'Verb',
  'APIPath',
  'Namespace',
  'Name',
  'APIVersion',
  'Resource',
  'SubResource',
]

type Cell = string | number | boolean
/** Columns stand below each other. */
function table(cells: Iterable<readonly Cell[]>): Reply {
  const rows = Array.from(cells, (row) =>
    row.map((cell, i) => (i < row.length - 1 ? `${cell},` : String(cell))),
  )
  const widths: number[] = []
  for (const row of rows)
    for (const [i, { length }] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, length)
  const line = (row: readonly string[]): string =>
    row.map((cell, i) => (i < row.length - 1 ? cell.padEnd(widths[i] ?? 0) : cell)).join(' ')
  return textReply(200, rows.map((row) => `${line(row)}\n`).join(''))
}

const rejections = ({ rejected }: LevelState): number =>
  (rejected.get('queue-full') ?? 0) + (rejected.get('concurrency-limit') ?? 0)

function* levelRows(control: FlowControl): Generator<readonly Cell[]> {
  yield HEADERS.levels
  for (const level of control.levels()) {
    const { name, waiting, executing, dispatched, rejected } = level
    const active = new Set(Array.from(control.waiting(name), ({ queue }) => queue)).size
    yield [
      name,
      active,
      waiting === 0 && executing === 0,
      false,
      waiting,
      executing,
      dispatched,
      rejections(level),
      rejected.get('time-out') ?? 0,
      rejected.get('cancelled') ?? 0,
    ]
  }
}

function* queueRows(control: FlowControl): Generator<readonly Cell[]> {
  yield HEADERS.queues
  for (const { name, queues } of control.levels())
    for (const [index, { length, seats, start, executing, inUse }] of queues.entries())
      yield [name, index, length, executing, inUse, `${start.toFixed(8)}ss`, seats, seats, seats]
}

function* requestRows(control: FlowControl, withDetails: boolean): Generator<readonly Cell[]> {
  yield withDetails ? [...HEADERS.requests, ...DETAILS] : HEADERS.requests
  for (const { name } of control.levels())
    for (const each of control.waiting(name)) {
      const { schema, queue, index, flow, arrived, seats } = each
      const time = arrived.toISOString()
      const row = [name, schema, queue, index, flow, time, seats, 0, '0s', time]
      yield withDetails ? [...row, ...detailsOf(each)] : row
    }
}

const detailsOf = ({ user, info }: WaitingRequest): readonly Cell[] => [
  user.name,
  info.verb,
  info.path,
  info.namespace,
  info.name,
  info.version,
  info.resource,
  info.subresource,
]

/** By path. */
export const flowControlPages = (
  control: FlowControl,
): Readonly<Record<string, (exchange: Exchange) => Promise<Reply>>> => ({
  [`${BASE}/dump_priority_levels`]: async () => table(levelRows(control)),
  [`${BASE}/dump_queues`]: async () => table(queueRows(control)),
  [`${BASE}/dump_requests`]: async ({ query }) =>
    table(requestRows(control, ['1', 'true'].includes(query.get('includeRequestDetails') ?? ''))),
})
