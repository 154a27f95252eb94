/** Which of those who change objects look a second time: those who asked for it, when others have changed it since. */
import type { JsonObject } from '#machinery'
import type { AdmissionRequest } from '../../admission.ts'
import { copyJson, sameJson } from '../../json.ts'

export interface Round {
  /** Whether this one is to be asked in this round. */
  isDue(key: string): boolean
  /** It was asked. */
  done(key: string, outcome: { readonly changed: boolean; readonly mayRunAgain: boolean }): void
  end(): void
}

interface Memory {
  /** The object as the last of the first round left it. */
  output: JsonObject | undefined
  readonly reinvocable: Set<string>
  readonly toReinvoke: Set<string>
}

/** Of one plugin. */
export class Reinvocation {
  readonly #memories = new WeakMap<AdmissionRequest, Memory>()

  begin(request: AdmissionRequest): Round {
    const { rounds, object } = request
    const memory = this.#memories.get(request) ?? {
      output: undefined,
      reinvocable: new Set<string>(),
      toReinvoke: new Set<string>(),
    }
    this.#memories.set(request, memory)
    const requireAll = (): void => {
      for (const key of memory.reinvocable) memory.toReinvoke.add(key)
      memory.reinvocable.clear()
    }
    // Others have changed it between the rounds.
    if (rounds.isSecond && !sameJson(object, memory.output)) requireAll()
    return {
      isDue: (key) => !rounds.isSecond || memory.toReinvoke.has(key),
      done(key, { changed, mayRunAgain }) {
        if (changed) {
          requireAll()
          rounds.again = true
        }
        if (mayRunAgain) memory.reinvocable.add(key)
      },
      end() {
        memory.output = object === undefined ? undefined : copyJson(object)
      },
    }
  }
}
