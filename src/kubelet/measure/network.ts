/** What went over the interfaces of a network, as `/proc/PID/net/dev` tells it. */

export interface InterfaceUse {
  readonly name: string
  readonly received: Traffic
  readonly sent: Traffic
}

interface Traffic {
  readonly bytes: number
  readonly packets: number
  readonly errors: number
  readonly dropped: number
}

/** Loopback aside. */
export function parseInterfaces(text: string): readonly InterfaceUse[] {
  return text.split('\n').flatMap((line): InterfaceUse[] => {
    const [, name, numbers] = /^\s*([^\s:]+):\s*(.*)$/.exec(line) ?? []
    if (name === undefined || numbers === undefined || name === 'lo') return []
    const counts = numbers.trim().split(/\s+/).map(Number)
    const traffic = (from: number): Traffic => ({
      bytes: counts[from] ?? 0,
      packets: counts[from + 1] ?? 0,
      errors: counts[from + 2] ?? 0,
      dropped: counts[from + 3] ?? 0,
    })
    return [{ name, received: traffic(0), sent: traffic(8) }]
  })
}

/** The interface that leads out, as `/proc/net/route` tells it. */
export const defaultInterface = (route: string): string | undefined =>
  /^(\S+)\t00000000\t/m.exec(route)?.[1]
