/** What a command of the program is. */
import type { Env } from '#base'
import type { OptionSpec, ParsedArguments } from './arguments.ts'
import type { Terminal } from './terminal.ts'

export interface CommandContext {
  readonly env: Env
  readonly terminal: Terminal
  /** Aborts on Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal
  readonly arguments: ParsedArguments
}

export interface Command {
  readonly name: string
  readonly summary: string
  /** `[flags] COMPONENT` */
  readonly usage: string
  readonly options: readonly OptionSpec[]
  readonly examples: readonly (readonly [command: string, what: string])[]
  /** Not shown in the list of commands. */
  readonly hidden?: boolean
  /** The exit code. */
  run(context: CommandContext): Promise<number>
}

/** An error whose message is all the user needs: no stack is shown. */
export class CommandError extends Error {
  /** What to do about it. */
  readonly advice: readonly string[]
  constructor(message: string, ...advice: readonly string[]) {
    super(message)
    this.name = 'CommandError'
    this.advice = advice
  }
}
