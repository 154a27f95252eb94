/** Commands in simulated containers. */

/** `true` succeeds, `false` fails, `exit N` does that, `echo` echoes; anything else succeeds silently. */
export function simulatedCommand(command: readonly string[]): {
  readonly exitCode: number
  readonly stdout: string
} {
  const shell = /^(.*\/)?(ba|da|)sh$/.test(command[0] ?? '') && command[1] === '-c'
  const words = shell ? (command[2] ?? '').trim().split(/\s+/) : command
  const [program = '', ...rest] = words
  if (program === 'false') return { exitCode: 1, stdout: '' }
  if (program === 'exit') return { exitCode: Number(rest[0] ?? 0), stdout: '' }
  if (program === 'echo') return { exitCode: 0, stdout: `${rest.join(' ')}\n` }
  return { exitCode: 0, stdout: '' }
}
