#!/usr/bin/env node
/** The program: finds the command, gives it the real world, prints what went wrong in words. */
import { enableCompileCache } from 'node:module'

enableCompileCache()
// oxfmt-ignore
const { run } = await import('./program.ts')
process.exitCode = await run(process.argv.slice(2))
