/** Printing for people: colours and a live line on a terminal, plain lines elsewhere. */
import type { Clock } from '#base'

export interface Terminal {
  readonly interactive: boolean
  print(text?: string): void
  error(text: string): void
  /** A step that takes time: a spinner on a terminal, two lines elsewhere. */
  step(title: string): Step
  readonly style: Style
}

export interface Step {
  /** Replaces the note behind the title. */
  note(text: string): void
  done(text?: string): void
  fail(text: string): void
}

export interface Style {
  bold(text: string): string
  dim(text: string): string
  green(text: string): string
  red(text: string): string
  yellow(text: string): string
  cyan(text: string): string
}

interface Output {
  readonly isTTY?: boolean
  write(text: string): unknown
}

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']
const FRAME_MS = 80

export function createTerminal(options: {
  readonly out: Output
  readonly err: Output
  readonly clock: Clock
  /** From the environment: NO_COLOR, CI, TERM=dumb. */
  readonly plain: boolean
}): Terminal {
  const { out, err, clock } = options
  const interactive = out.isTTY === true && !options.plain
  const paint = (open: number, close: number) => (text: string) =>
    interactive ? `\u001B[${open}m${text}\u001B[${close}m` : text
  const style: Style = {
    bold: paint(1, 22),
    dim: paint(2, 22),
    green: paint(32, 39),
    red: paint(31, 39),
    yellow: paint(33, 39),
    cyan: paint(36, 39),
  }
  return {
    interactive,
    style,
    print: (text = '') => void out.write(`${text}\n`),
    error: (text) => void err.write(`${text}\n`),
    step(title) {
      const began = clock.monotonic()
      const took = (): string => style.dim(duration(clock.monotonic() - began))
      let note = ''
      let frame = 0
      let cancel: () => void = () => undefined
      const draw = (): void => {
        out.write(
          `\r\u001B[K${style.cyan(FRAMES[frame++ % FRAMES.length] ?? '')} ${title}${note === '' ? '' : style.dim(` ${note}`)}`,
        )
        cancel = clock.schedule(FRAME_MS, draw)
      }
      const end = (mark: string, text: string): void => {
        cancel()
        out.write(
          `${interactive ? '\r\u001B[K' : ''}${mark} ${title}${text === '' ? '' : `: ${text}`} ${took()}\n`,
        )
      }
      if (interactive) draw()
      return {
        note: (text) => {
          note = text
        },
        done: (text = '') => end(style.green('✓'), text),
        fail: (text) => end(style.red('✗'), text),
      }
    },
  }
}

/** `85 ms`, `1.3 s`, `2 min 5 s` */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`
}
