/** Nodes of one machine, whether they are real or simulated. */
export interface MachineNode {
  readonly name: string
  readonly address: string
  /** Switched on; whether it is Ready is the API's to say. */
  readonly running: boolean
  /** Its agent's process; absent when it has none of its own. */
  readonly process?: number
  /** The first process of its space: when that is killed, all of the node is. */
  readonly init?: number
}

/** The nodes of this machine, real or simulated. */
export interface MachineNodes {
  list(): Promise<readonly MachineNode[]>
  /** As many nodes as `count`, the machine's first one counted. Resolves when all are Ready; more never become fewer. */
  grow(count: number): Promise<void>
  /** As if its plug were pulled: nothing in it is told. */
  powerOff(name: string): Promise<void>
  /** Resolves when it is Ready again. */
  powerOn(name: string): Promise<void>
  /** Takes it away for good, with its Node and all that it has on the machine. */
  remove(name: string): Promise<void>
  /** The nodes that were there when it began are Ready. */
  readonly ready: Promise<void>
  /** Ends the agents; with `stop` their containers too. */
  close(containers: 'leave' | 'stop'): Promise<void>
}
