/** An expression that could not be evaluated, in cel-go's words. */
export class CelError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'CelError'
  }
}

export const noOverload = (): CelError => new CelError('no such overload')

/** The evaluation was stopped: it is not absorbed by `||` and `&&`. */
export class CelCostError extends CelError {}
