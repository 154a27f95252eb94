/** Addresses of simulated pods. */
import { RuntimeError } from '../runtime.ts'

export class Addresses {
  readonly #network: string
  readonly #used = new Set<string>()
  #next = 2

  /** `network` is the first three parts: `10.244.1`. */
  constructor(network: string) {
    this.#network = network
  }

  take(): string {
    for (let tries = 0; tries < 65_536; tries++) {
      const number = this.#next++ % 65_536
      if (number % 256 < 2 || number % 256 === 255) continue
      // A node that is crowded beyond 253 pods goes on in the next networks.
      const parts = this.#network.split('.').map(Number)
      const third = (parts[2] ?? 0) + Math.floor(number / 256)
      const second = (parts[1] ?? 0) + Math.floor(third / 256)
      const address = `${parts[0]}.${second}.${third % 256}.${number % 256}`
      if (this.#used.has(address)) continue
      this.#used.add(address)
      return address
    }
    throw new RuntimeError('failed', 'no addresses left for pods')
  }

  giveBack(address: string): void {
    this.#used.delete(address)
  }
}
