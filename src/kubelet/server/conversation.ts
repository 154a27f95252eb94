/** One conversation of the API server with this node: logs, a command, a terminal, or a forwarded port. */
import { PassThrough, Writable, type Duplex } from 'node:stream'
import type { Env } from '#base'
import {
  CHANNEL,
  frameWriter,
  INPUT_WINDOW_BYTES,
  readControl,
  readFrames,
  type FrameWriter,
  type NodeApi,
  type NodeCall,
} from '#client'
import { internalError, StatusError } from '#machinery'

const CALL_TIMEOUT_MS = 10_000
/** Writing shows that the other side is gone, also while nothing is read from it. */
const PING_MS = 20_000
const STDIN_BUFFER_BYTES = 64 * 1024

export const statusOf = (error: unknown): StatusError =>
  error instanceof StatusError
    ? error
    : internalError(error instanceof Error ? error.message : String(error))

/** Never rejects; the socket is closed when it resolves. */
export async function converse(
  nodeApi: NodeApi,
  socket: Duplex,
  head: Uint8Array,
  { clock }: Pick<Env, 'clock'>,
): Promise<void> {
  const out = frameWriter(socket)
  const gone = new AbortController()
  const input = new PassThrough({ highWaterMark: STDIN_BUFFER_BYTES })
  const sizes = sizeQueue()
  let cancelPing = (): void => undefined
  const ping = (): void => {
    cancelPing = clock.schedule(PING_MS, () => {
      out.control({ type: 'ping' })
      ping()
    })
  }
  const left = (): void => {
    gone.abort(new Error('the API server hung up'))
    input.end()
    sizes.end()
  }
  socket.once('close', left)
  const cancelWait = clock.schedule(CALL_TIMEOUT_MS, () => socket.destroy())
  let answered: Promise<void> | undefined
  try {
    for await (const { channel, data } of readFrames(socket, head)) {
      if (channel === CHANNEL.control) {
        const message = readControl(data)
        if (message.type === 'call' && answered === undefined) {
          cancelWait()
          ping()
          answered = answer(nodeApi, message.call, {
            out,
            input,
            sizes: sizes.values,
            signal: gone.signal,
          }).then(() => void socket.end())
        } else if (message.type === 'resize') {
          sizes.push({ width: message.width, height: message.height })
        }
      } else if (channel === CHANNEL.input && answered !== undefined) {
        if (data.length === 0) input.end()
        else if (input.writableLength > INPUT_WINDOW_BYTES) break
        else if (!input.writableEnded)
          input.write(data, () => out.control({ type: 'credit', bytes: data.length }))
      }
    }
  } catch {
    socket.destroy()
  }
  left()
  await answered
  cancelWait()
  cancelPing()
  socket.destroy()
}

interface Caller {
  readonly out: FrameWriter
  readonly input: PassThrough
  readonly sizes: AsyncIterable<TerminalSize>
  readonly signal: AbortSignal
}
interface TerminalSize {
  readonly width: number
  readonly height: number
}

/** Never rejects: how it ended is the last frame. */
async function answer(nodeApi: NodeApi, call: NodeCall, caller: Caller): Promise<void> {
  const { out, input, signal } = caller
  try {
    switch (call.method) {
      case 'logs': {
        const chunks = await nodeApi.logs(call.target, call.options, signal)
        out.control({ type: 'accepted' })
        for await (const chunk of chunks) {
          if (signal.aborted) return
          await out.data(CHANNEL.output, chunk)
        }
        out.control({ type: 'ended' })
        return
      }
      case 'exec':
      case 'attach': {
        // Taken at once: what fails after this is told at the end, as it is in one process.
        out.control({ type: 'accepted' })
        const { stdin, stdout, stderr, resize } = call.streams
        const streams = {
          ...(stdin ? { stdin: input } : {}),
          ...(stdout ? { stdout: channelOf(out, CHANNEL.output) } : {}),
          ...(stderr ? { stderr: channelOf(out, CHANNEL.errors) } : {}),
          ...(resize ? { resize: caller.sizes } : {}),
        }
        if (!stdin) input.resume()
        const ended =
          call.method === 'exec'
            ? await nodeApi.exec(call.target, call.options, streams, signal)
            : await nodeApi.attach(call.target, call.options, streams, signal)
        await Promise.all([settled(streams.stdout), settled(streams.stderr)])
        out.control({ type: 'ended', ...(ended === undefined ? {} : ended) })
        return
      }
      case 'portForward': {
        const stream = await nodeApi.portForward(call.target, call.port, signal)
        stream.on('error', () => stream.destroy())
        signal.addEventListener('abort', () => stream.destroy(), { once: true })
        if (signal.aborted) stream.destroy()
        out.control({ type: 'accepted' })
        input.pipe(stream)
        for await (const chunk of stream.iterator({
          destroyOnReturn: false,
        }) as AsyncIterable<Buffer>)
          await out.data(CHANNEL.output, chunk)
        out.end(CHANNEL.output)
        // The other half may go on after the pod has said all it had to say.
        if (!stream.destroyed && !stream.writableFinished)
          await new Promise<void>((resolve) => {
            stream.once('finish', resolve)
            stream.once('close', resolve)
          })
        out.control({ type: 'ended' })
        stream.destroy()
      }
    }
  } catch (error) {
    if (!signal.aborted) out.control({ type: 'failed', status: statusOf(error).status })
  } finally {
    input.resume()
  }
}

const channelOf = (out: FrameWriter, channel: number): Writable =>
  new Writable({
    write(chunk: Buffer, _encoding, done) {
      void out.data(channel, chunk).finally(() => done())
    },
  })

/** Until all that was written is on its way. */
const settled = (stream: Writable | undefined): Promise<void> =>
  new Promise((resolve) => {
    if (stream === undefined || stream.destroyed) resolve()
    else if (stream.writableFinished) resolve()
    else {
      stream.once('finish', resolve)
      stream.end()
    }
  })

/** Only the newest size matters. */
function sizeQueue(): {
  push(size: TerminalSize): void
  end(): void
  readonly values: AsyncIterable<TerminalSize>
} {
  let latest: TerminalSize | undefined
  let ended = false
  let wake = (): void => undefined
  async function* values(): AsyncGenerator<TerminalSize, void> {
    for (;;) {
      if (latest !== undefined) {
        const size = latest
        latest = undefined
        yield size
      } else if (ended) return
      else
        await new Promise<void>((resolve) => {
          wake = resolve
        })
    }
  }
  return {
    push(size) {
      latest = size
      wake()
    },
    end() {
      ended = true
      wake()
    },
    values: values(),
  }
}
