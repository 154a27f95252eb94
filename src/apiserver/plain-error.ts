/** Refusals that are plain text on the wire, as some filters of upstream give them; in the process they are a Status. */
import { StatusError } from '#machinery'

export class PlainError extends StatusError {
  readonly text: string

  constructor(text: string, ...status: ConstructorParameters<typeof StatusError>) {
    super(...status)
    this.text = `${text}\n`
  }
}
