import { KUBERNETES_VERSION, NAVARCH_VERSION } from '#cluster'
import type { Command } from '../command.ts'

export const version: Command = {
  name: 'version',
  summary: 'Print the versions of Navarch, of the Kubernetes it is, and of Node',
  usage: '',
  options: [],
  examples: [['navarch version', '']],
  run({ terminal }) {
    terminal.print(
      `navarch ${NAVARCH_VERSION} (Kubernetes ${KUBERNETES_VERSION}, Node ${process.version}, ${process.platform}/${process.arch})`,
    )
    return Promise.resolve(0)
  },
}
