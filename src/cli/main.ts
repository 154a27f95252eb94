#!/usr/bin/env node
/** The program: finds the command, gives it the real world, prints what went wrong in words. */
import { keepCompiled } from './compile-cache.ts'

keepCompiled()
const { run } = await import('./program.ts')
const code = await run(process.argv.slice(2))
process.exitCode = code
/** The command has ended in order; a connection that is left open somewhere does not hold the program longer than this. */
const LINGER_MS = 500
// oxlint-disable-next-line no-restricted-globals -- the program's own end
setTimeout(() => process.exit(code), LINGER_MS).unref()
